"""What some engines do for every vector they compare, and others do not: python benchmarks/engine_steps.py

Writes calibration/measured/engine_steps.csv. Measured apart from any vector index: a tuple fetched by its place through
PostgreSQL's buffers, and a scattered vector's product with another by plain and by vector instructions (`cc`). Needs
the environment of `measure_stores.py`. Core time, on the same machine as the stores.
"""

import csv
import datetime
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measure_stores import Postgres
from store_rows import TICK, machine

OUT = Path(__file__).parents[1] / "calibration" / "measured" / "engine_steps.csv"
COLUMNS = ("machine", "what", "vectors", "dim", "seconds", "kind", "date")
SHAPES = ((20_000, 128), (20_000, 768), (50_000, 384), (100_000, 128))
FLAGS = {"plain": ("-O2", "-DPLAIN"), "vector": ("-O3", "-march=native", "-ffast-math")}
ROWS, ROUNDS, VISITS = 100_000, 15, 1_000_000
CODE = """
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static double now(void){struct timespec t; clock_gettime(CLOCK_PROCESS_CPUTIME_ID,&t); return t.tv_sec+1e-9*t.tv_nsec;}
static float product(const float*a,const float*b,int d){
#ifdef PLAIN  /* two sums, unrolled by eight, as Redis 8.0 has it */
  float s=0,r=0; for(int i=0;i+7<d;i+=8){
    s+=a[i]*b[i]+a[i+1]*b[i+1]+a[i+2]*b[i+2]+a[i+3]*b[i+3];
    r+=a[i+4]*b[i+4]+a[i+5]*b[i+5]+a[i+6]*b[i+6]+a[i+7]*b[i+7];} return s+r;
#else
  float s=0; for(int i=0;i<d;i++) s+=a[i]*b[i]; return s;
#endif
}
int main(int c,char**v){
  int n=atoi(v[1]),d=atoi(v[2]); long visits=atol(v[3]); size_t all=(size_t)n*d; unsigned r=12345;
  float*x=malloc(4*all); for(size_t i=0;i<all;i++) x[i]=(i*2654435761u%1000)/1000.f;
  volatile float sum=0; double start=now();
  for(long i=0;i<visits;i++){ r=r*1664525u+1013904223u; sum+=product(x+(size_t)((r>>8)%n)*d,x,d); }
  printf("%.12f\\n",(now()-start)/visits); return 0; }
"""


def page_s(folder: Path) -> float:
    """Core time of one tuple fetched by its place, what asks for it left out [s]."""
    server = Postgres(folder)
    link = server.link
    for name in ("memoize", "hashjoin", "mergejoin"):
        link.execute(f"SET enable_{name} = off")
    link.execute("SET enable_seqscan = on")
    link.execute("CREATE TABLE items (id int, pad text)")
    link.execute("ALTER TABLE items ALTER pad SET STORAGE PLAIN")
    link.execute(f"INSERT INTO items SELECT g, repeat('x', 1400) FROM generate_series(1, {ROWS // 2}) g")
    link.execute("CREATE TABLE places AS SELECT ctid AS place FROM items ORDER BY random()")
    link.execute("INSERT INTO places SELECT place FROM places ORDER BY random()")
    link.execute("VACUUM ANALYZE")
    asked = ("SELECT count(*) FROM places JOIN items ON items.ctid = places.place", "SELECT count(*) FROM places")
    fetched, scanned = (_core_s(link, question) for question in asked)
    server.close()
    return (fetched - scanned) / ROWS


def _core_s(link: Any, question: str) -> float:
    """Core time of the server's process for a question, the mean of some rounds [s]."""
    stat = Path(f"/proc/{link.info.backend_pid}/stat")
    ticks = [0, 0]
    for end in range(2):
        for _ in range(ROUNDS if end else 0):
            link.execute(question).fetchall()
        ticks[end] = sum(map(int, stat.read_text().rsplit(")", 1)[1].split()[11:13]))
    return (ticks[1] - ticks[0]) / TICK / ROUNDS


def product_s(folder: Path, kind: str, vectors: int, dim: int) -> float:
    """Core time of a product with a scattered vector, the median of five runs [s]."""
    source, program = folder / "product.c", folder / kind
    source.write_text(CODE, encoding="utf-8")
    subprocess.run([os.environ.get("CC", "cc"), *FLAGS[kind], source, "-o", program], check=True)
    command = [str(word) for word in (program, vectors, dim, VISITS)]
    return float(np.median([float(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(5)]))


def main() -> None:
    """Measure and write."""
    today, where = datetime.date.today().isoformat(), machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines: list[tuple[object, ...]] = [
            (where, f"product, {kind}", *shape, f"{product_s(folder, kind, *shape):.4g}", "measured", today)
            for shape in SHAPES
            for kind in FLAGS
        ]
        lines += [(where, "page", 0, 0, f"{page_s(folder / str(n)):.4g}", "measured", today) for n in range(3)]
    with OUT.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *lines])


if __name__ == "__main__":
    main()
