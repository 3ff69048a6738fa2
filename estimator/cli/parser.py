"""The command's words and options. Nothing heavy is imported here: help must come at once."""

import argparse
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NoReturn, TypeAlias

from estimator.cli.argument_parser import Parser, Unread
from estimator.errors import InvalidInput
from estimator.shown import format_for, named
from estimator.stages import COMBINATIONS, STAGES, TASKS

BREAK_EVENS = ("volume", "api", "owning")
LARGEST = ("llm", "context", "batch", "users")
SHELLS = ("bash", "zsh", "fish")
PICTURES = ("spectrum", "totals", "volume", "money", "step", "pareto", "load", "loss", "tornado")
THEMES = ("light", "dark")

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"
HELP = (["-h"], ["--help"])


def parser(words: Sequence[str] = ()) -> Parser:
    """The whole command; when `words` begin with one of its commands, that one alone, which is sooner built."""
    top = Parser(
        prog="estimator",
        description="What prompt engineering, RAG, fine-tuning and pre-training would need and cost, side by side.",
        epilog="Example: estimator compare --model 7b --gpu a100",
    )
    top.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    read = Unread if list(words) in HELP else Parser
    commands = top.add_subparsers(
        title="commands", metavar="COMMAND", required=True, prog="estimator", parser_class=read
    )
    builders = _builders()
    named = words[0] if words else ""
    for build in [builders[named]] if named in builders else builders.values():
        build(commands)
    return top


def _builders() -> dict[str, Callable[[Commands], None]]:
    """What adds each command, by its name."""
    return {
        "check": _check,
        "diff": _diff,
        "compare": _compare,
        "estimate": _estimate,
        "layout": _layout,
        "serving": _serving,
        "recommend": _recommend,
        "calibrate": _calibrate,
        "plot": _plot,
        "validate": _validate,
        "record": _record,
        "watch": _watch,
        "variance": _variance,
        "catalog": _catalog,
        "offers": _offers,
        "export": _export,
        "sweep": _sweep,
        "serve": _serve,
        "docs": _docs,
        "completion": _completion,
        "mcp": _mcp,
    }


class _Version(argparse.Action):
    """Looks the version up only when asked: the lookup costs more than all the rest of the help."""

    def __call__(self, top: argparse.ArgumentParser, *_: object) -> NoReturn:
        import estimator

        print(f"estimator {estimator.__version__}")
        top.exit(0)


def _lazy(module: str, function: str) -> Callable[[argparse.Namespace], object]:
    """A command's function, imported when it runs."""

    def run(arguments: argparse.Namespace) -> object:
        _settle_format(arguments)
        return getattr(import_module(f"estimator.cli.{module}"), function)(arguments)

    return run


def _command(
    commands: Commands, name: str, text: str, run: Callable[[argparse.Namespace], object], example: str
) -> Parser:
    added: Parser = commands.add_parser(
        name, help=text, description=text, epilog=f"Example: {example}", allow_abbrev=False
    )
    added.set_defaults(run=run)
    return added


def _check(commands: Commands) -> None:
    example = "estimator check train.yaml --gpu 2xrtx4090,a100 --data 52k"
    text = "a run you have: does its configuration fit, how long, for how much, what would help"
    sub = _command(commands, "check", text, _lazy("check", "check"), example)
    text = "configurations and commands of one run: Axolotl, TRL, DeepSpeed, Megatron, vLLM, Compose, ..."
    sub.add_argument("files", metavar="FILE", nargs="*", help=text)
    sub.add_argument("--gpu", metavar="NAMES", help="one or more, comma-separated, with or without count")
    sub.add_argument("--model", metavar="NAME", help="the LLM, where the files do not name it or its name is not known")
    sub.add_argument("--data", metavar="N", help="samples of an epoch")
    text = "any field of the plan or amount of work instead of what the files say, such as micro_batch=1 or epochs=3"
    sub.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], dest="inputs", help=text)
    sub.add_argument("--emit", metavar="TOOL", help="instead of the answer, the run as a file of this tool")
    sub.add_argument("--fix", action="store_true", help="with --emit: with the first change that makes it fit")
    gate = sub.add_argument_group("a gate, for pipelines: exit 3 when it is missed")
    gate.add_argument("--fit-chance", metavar="P", help="least chance of fitting, such as 0.9 or 90%%")
    gate.add_argument("--fail-over", metavar="USD", help="most that the run may cost")
    _facts(sub)
    _prices(sub)
    _written(sub)


def _diff(commands: Commands) -> None:
    example = "estimator diff before.yaml after.yaml --gpu 8xh100 --data 52k"
    text = "what a change does to time, money and memory, and which part of it does"
    sub = _command(commands, "diff", text, _lazy("check", "diff"), example)
    text = "two run configurations, two scenarios (TOML), or two answers saved as JSON"
    sub.add_argument("first", metavar="A", help=text)
    sub.add_argument("second", metavar="B", help="the other")
    sub.add_argument(
        "--beside", metavar="FILE", action="append", default=[], help="goes with both, such as a DeepSpeed file"
    )
    sub.add_argument("--stage", choices=STAGES, metavar="STAGE", default="finetune", help="of scenarios (finetune)")
    sub.add_argument("--gpu", metavar="NAME", help="accelerators, with or without count")
    sub.add_argument("--model", metavar="NAME", help="the LLM, where the files do not name it")
    sub.add_argument("--data", metavar="N", help="samples of an epoch")
    text = "any field or amount of work instead of what both files say"
    sub.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], dest="inputs", help=text)
    _facts(sub)
    _prices(sub)
    _written(sub)


def _compare(commands: Commands) -> None:
    example = "estimator compare --model llama-3.1-8b --gpu 8xh100 --set samples=20000"
    sub = _command(commands, "compare", "the four approaches side by side", _lazy("answers", "compare"), example)
    _question(sub)
    _stages(sub)
    _assumptions(_output(sub))


def _estimate(commands: Commands) -> None:
    example = "estimator estimate finetune --model 8b --gpu a100 --set method=qlora"
    sub = _command(commands, "estimate", "one approach in full", _lazy("answers", "estimate"), example)
    stages = (*STAGES, *COMBINATIONS)
    sub.add_argument("stage", choices=stages, metavar="STAGE", help=", ".join(stages))
    _question(sub)
    text = "what the answer turns on: each input alone at the ends of its range; all of them unless named"
    sub.add_argument("--sensitivity", nargs="?", const="", metavar="A,B", help=text)
    sub.add_argument("--figure", metavar="NAME", help="with --sensitivity: which answer (default total_usd)")
    _assumptions(_output(sub))


def _layout(commands: Commands) -> None:
    example = "estimator layout pretrain --model 7b --gpu a100,h100 --tokens 100b --deadline 14d"
    sub = _command(commands, "layout", "the best layout, over all valid ones", _lazy("layout", "layout"), example)
    sub.add_argument("word", metavar="TASK", nargs="?", help="pretrain (default), finetune or serve")
    sub.add_argument("--task", metavar="TASK", help="the same")
    sub.add_argument("--model", metavar="NAME", help="a size, a preset, or a path to a config.json")
    sub.add_argument("--gpu", metavar="NAMES", help="one or more, comma-separated, with or without count")
    sub.add_argument("--gpus", metavar="N", help="how many, when not in the name; all worth trying if not given")
    sub.add_argument(
        "--most", metavar="N", help="train: most accelerators to try (1024); serve: of a replica (4 nodes)"
    )
    sub.add_argument("--precisions", metavar="NAMES", help="number formats to try, comma-separated, such as bf16,fp8")
    sub.add_argument("--careful", action="store_true", help="memory, deadline and targets hold at their ranges' ends")
    text = "any field of the plan, such as tp=8, method=lora, seq_len=8k or framework=nemo; tp=4,8 tries both"
    sub.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], dest="inputs", help=text)
    text = "instead of the answer, its best as a file of this tool: axolotl, llamafactory, megatron, vllm, ..."
    sub.add_argument("--emit", metavar="TOOL", help=text)
    train = sub.add_argument_group("to train")
    _chance(train)
    train.add_argument("--tokens", metavar="N", help="of the whole run (default: compute-optimal, or the samples')")
    train.add_argument(
        "--deadline", "--deadline-days", metavar="TIME", help="cheapest that meets it (14d, 2w), not fastest"
    )
    serve = sub.add_argument_group("to serve")
    serve.add_argument("--prompt-tokens", metavar="N", help="of a request")
    serve.add_argument("--output-tokens", metavar="N", help="of a request")
    serve.add_argument("--ttft-s", "--ttft", metavar="S", help="mean time to first token at most")
    serve.add_argument("--tpot-s", "--tpot", metavar="S", help="mean time per output token at most")
    serve.add_argument("--requests-per-s", metavar="N", help="load of all replicas (default: what one carries)")
    _facts(sub)
    _prices(sub)
    _written(sub)


def _serving(commands: Commands) -> None:
    example = "estimator serving --model llama-3.1-8b --gpu h100 --concurrency 1,8,32,128"
    text = "what users get from replicas under a load: first token, speed, throughput, memory, money"
    sub = _command(commands, "serving", text, _lazy("serving", "serving"), example)
    sub.add_argument("--model", metavar="NAME", help="a size, a preset, or a path to a config.json")
    sub.add_argument("--gpu", metavar="NAME", help="an accelerator, with the count of a replica (2xh100)")
    sub.add_argument("--gpus", metavar="N", help="how many, when not in the name (default 1)")
    sub.add_argument("--prompt-tokens", metavar="N", help="of a request (default: the scenario's); N,N,... are loads")
    sub.add_argument("--output-tokens", metavar="N", help="of a request (default: the scenario's)")
    sub.add_argument("--cached-tokens", metavar="N", help="of the prompt, found in a prefix cache (default 0)")
    load = sub.add_argument_group("load (one of; N,N,... are several, a row each; none is one at a time)")
    load.add_argument("--concurrency", metavar="N", help="so many requests in flight, always")
    load.add_argument("--requests-per-s", metavar="N", help="so many a second, at random")
    load.add_argument("--burst", metavar="N", help="so many at once")
    load.add_argument("--batch", metavar="N", help="a static batch")
    sub.add_argument("--replicas", metavar="N", help="that share the load (default 1; layout serve chooses)")
    text = "any field of the plan, such as engine=sglang, kv_precision=fp8, max_num_seqs=64 or start=together"
    sub.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], dest="inputs", help=text)
    _facts(sub)
    _prices(sub)
    out = _written(sub)
    _level(out)
    _currency(out)


def _recommend(commands: Commands) -> None:
    example = "estimator recommend --model 7b --gpu a100 --set failure_mode=knowledge --set citations=yes"
    text = "which approach, and why; or what fits, how large, by when, for how much"
    sub = _command(commands, "recommend", text, _lazy("decide", "recommend"), example)
    _question(sub)
    turned = sub.add_argument_group("instead of a recommendation: the question turned round (one of)")
    turned.add_argument(
        "--fit", metavar="TASK", choices=TASKS, help="smallest sets that hold it: serve, finetune, pretrain"
    )
    turned.add_argument(
        "--largest", metavar="WHAT", choices=LARGEST, help="that fits --gpu: llm, context, batch or users"
    )
    turned.add_argument("--deadline", metavar="TIME", help="accelerators that pre-train --model in time (30, 14d, 2w)")
    turned.add_argument("--budget", metavar="USD", help="what it buys: tokens, size of LLM, samples")
    turned.add_argument("--replicas", action="store_true", help="how many keep to --ttft and --tpot")
    text = "volume (of approaches), api (own accelerators against --api), owning (--purchase-price against rent)"
    turned.add_argument("--break-even", metavar="WHAT", choices=BREAK_EVENS, help=text)
    turned.add_argument("--task", metavar="TASK", choices=TASKS, help="for --largest (default: serve)")
    turned.add_argument("--users", metavar="N", help="for --largest context: of each of so many at once (default: 1)")
    turned.add_argument("--ttft", metavar="S", help="longest mean time to first token")
    turned.add_argument("--tpot", metavar="S", help="longest mean time per output token")
    turned.add_argument("--careful", action="store_true", help="--budget holds even at the upper end of the range")
    _output(sub)


def _calibrate(commands: Commands) -> None:
    example = "estimator calibrate --budget 60s"
    text = "measure this machine, so that --gpu local stands for it, or a server that runs"
    sub = _command(commands, "calibrate", text, _lazy("calibrate", "calibrate"), example)
    sub.add_argument("--device", choices=("cpu", "cuda", "all"), help="default: the GPU where there is one")
    sub.add_argument("--budget", metavar="TIME", default="60s", help="time it may take: 60s (default), 5m")
    sub.add_argument("--output", metavar="FILE", help="write the profile there too, to share it")
    text = "correct predictions by these runs instead, a case file in the columns of the published ones"
    sub.add_argument("--from", metavar="FILE", dest="runs", help=text)
    sub.add_argument("--accept", action="store_true", help="with --from: keep runs that are too far off, too")
    suites = ("all", "kernels", "index", "collectives", "serving")
    sub.add_argument("--suite", choices=suites, default="all", help=", ".join(suites))
    text = "serving: an OpenAI-compatible server without load (default http://127.0.0.1:8000)"
    sub.add_argument("url", nargs="?", metavar="URL", help=text)
    sub.add_argument("--anywhere", action="store_true", help="serving: also a server that is not on this machine")


def _plot(commands: Commands) -> None:
    example = "estimator plot volume --model 7b --gpu a100 --output volume.svg"
    sub = _command(commands, "plot", "a picture, as SVG or PNG (extra `plot`)", _lazy("plot", "plot"), example)
    sub.add_argument("picture", choices=PICTURES, metavar="PICTURE", help=", ".join(PICTURES))
    _question(sub)
    sub.add_argument("--stage", choices=STAGES, metavar="STAGE", help="of money, step, pareto and tornado (finetune)")
    sub.add_argument("--output", metavar="FILE", required=True, help="what to write: picture.svg or picture.png")
    sub.add_argument("--theme", choices=THEMES, default="light", help="light (default) or dark paper")
    _currency(sub)


def _record(commands: Commands) -> None:
    example = "estimator record trainer_state.json --model 8b --gpu 8xh100 --set method=lora --set seq_len=2k"
    text = "what a run really took, from its logs, beside its prediction; later predictions learn from it"
    sub = _command(commands, "record", text, _lazy("record", "record"), example)
    sub.add_argument("files", nargs="+", metavar="FILE", help="logs of one run, of training or of a server")
    _own_run(sub, "what the logs do not say")
    text = "write the figures without names and paths, for a pull request; nothing is sent"
    sub.add_argument("--share", metavar="FILE", help=text)


def _own_run(sub: Parser, unsaid: str) -> None:
    """What a run was, and whether it is kept."""
    sub.add_argument("--model", metavar="NAME", help="a size, a preset, or a path to a config.json")
    sub.add_argument("--gpu", metavar="NAME", help="on what it ran, with the count: 8xh100")
    text = f"{unsaid}: any field of a plan, or column of a case"
    sub.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], dest="inputs", help=text)
    sub.add_argument("--compare-only", action="store_true", help="keep nothing")
    sub.add_argument("--accept", action="store_true", help="keep it even if it is too far off")
    _facts(sub)
    _written(sub)


def _watch(commands: Commands) -> None:
    example = "estimator watch http://localhost:8000 --model 8b --gpu h100"
    text = "a server on this machine beside its prediction, from its /metrics; recorded at the end"
    sub = _command(commands, "watch", text, _lazy("record", "watch"), example)
    sub.add_argument("url", metavar="URL", help="of vLLM, SGLang or TGI on this machine, such as http://localhost:8000")
    sub.add_argument("--every", metavar="TIME", default="10s", help="between two readings (default 10s)")
    sub.add_argument("--time", metavar="TIME", default="10min", help="in all (default 10min); Ctrl-C ends it sooner")
    _own_run(sub, "what the server does not say of itself")


def _variance(commands: Commands) -> None:
    example = "estimator variance budget.csv focus.csv --approach rag"
    text = "a budget against its bill: price, volume, mix, time, by line"
    sub = _command(commands, "variance", text, _lazy("record", "variance"), example)
    sub.add_argument("budget", metavar="BUDGET", help="as `estimator export budget.csv` writes it")
    sub.add_argument("actuals", metavar="ACTUALS", help="charges as CSV in FOCUS columns")
    sub.add_argument("--approach", metavar="NAME", help="which of the budget's approaches was chosen")
    sub.add_argument("--months", metavar="N", help="planned until now (default: those with charges)")
    text = "kind of line that a service or SKU pays for, such as 'Amazon EC2=serving'"
    sub.add_argument("--map", metavar="SERVICE=KIND", action="append", default=[], help=text)
    sub.add_argument("--workbook", metavar="FILE", help="the lines and the bridge as an .xlsx too")
    sub.add_argument("--plot", metavar="FILE", help="the bridge as a picture too: bridge.svg or bridge.png")
    _written(sub)


def _validate(commands: Commands) -> None:
    example = "estimator validate --cases yours.csv"
    sub = _command(commands, "validate", "predict measured runs and compare", _lazy("calibrate", "validate"), example)
    sub.add_argument("--local", action="store_true", help="run real work on this machine instead; needs a profile")
    sub.add_argument("--budget", metavar="TIME", help="with --local: time it may take (default 120s)")
    sub.add_argument(
        "--cases", metavar="FILE", nargs="+", default=[], help="case files (default: the published runs that ship)"
    )
    _written(sub)
    sub.add_argument("--facts", metavar="DIR", help="overlay of your own accelerators, prices and LLMs")


def _catalog(commands: Commands) -> None:
    example = "estimator catalog prices --gpu h100"
    sub = _command(
        commands,
        "catalog",
        "what is known: models, accelerators, prices, inputs, frameworks",
        _lazy("catalogue", "catalog"),
        example,
    )
    kinds = ("models", "accelerators", "prices", "apis", "inputs", "frameworks", "architectures", "refresh")
    sub.add_argument("kind", choices=kinds, metavar="KIND", help=", ".join(kinds))
    text = "only names that contain this; of refresh: the folder that today's prices are written into"
    sub.add_argument("name", nargs="?", default="", help=text)
    sub.add_argument("--gpu", metavar="NAME", help="prices of this accelerator")
    told = "with refresh: a question whose totals are told before and after"
    for option in ("--model", "--api", "--scenario"):
        sub.add_argument(option, metavar="NAME" if option != "--scenario" else "FILE", help=told)
    sub.add_argument("--provider", help="prices of this provider")
    sub.add_argument("--region", help="prices in this region")
    sub.add_argument("--commitment", help="prices that are on-demand, spot, reserved-1y or reserved-3y")
    sub.add_argument("--facts", metavar="DIR", help="overlay of your own accelerators, prices and LLMs")
    _written(sub)


def _offers(commands: Commands) -> None:
    example = "estimator offers --fits serve --model 70b"
    text = "the cheapest instances that hold an LLM, per provider and region"
    sub = _command(commands, "offers", text, _lazy("prices", "offers"), example)
    told = f"{', '.join(TASKS)} (default serve)"
    sub.add_argument("--fits", metavar="TASK", choices=TASKS, default="serve", help=told)
    _question(sub)
    _written(sub)


def _export(commands: Commands) -> None:
    example = "estimator export budget.xlsx --model 7b --gpu a100"
    sub = _command(commands, "export", "a workbook with live formulas", _lazy("export", "export"), example)
    sub.add_argument(
        "file", nargs="?", metavar="FILE", help="what to write: budget.xlsx, or budget.csv for budget lines"
    )
    sub.add_argument("-o", "--output", metavar="FILE", help="the same, as other commands take it")
    sub.add_argument("--into", metavar="FILE", help="add the sheets to this workbook, or refresh them there")
    sub.add_argument("--sheet", metavar="NAME", help="with --into: goes before the sheets' names (default Estimate)")
    sub.add_argument("--replace", action="store_true", help="with --into: over sheets of yours of the same name")
    sub.add_argument("--format", choices=("xlsx", "csv"), help="when the file's name does not tell")
    sub.add_argument("--fields", metavar="A,B,C", help="columns of the CSV: item, approach, phase, expected, ...")
    sub.add_argument("--excel", action="store_true", help="CSV with byte-order mark, semicolons and decimal commas")
    _question(sub)
    _stages(sub)
    _currency(sub)


def _sweep(commands: Commands) -> None:
    example = "estimator sweep scenarios.csv -o answers.csv --model 7b --gpu a100"
    sub = _command(commands, "sweep", "scenarios as rows, answers as columns", _lazy("sweep", "sweep"), example)
    text = "scenarios: .csv, .parquet or .xlsx; columns are inputs by name"
    sub.add_argument("file", nargs="?", metavar="FILE", help=text)
    text = "instead of a file, every combination of values: A,B,C or LOW..HIGH:STEPS; repeatable"
    sub.add_argument("--vary", metavar="NAME=VALUES", action="append", default=[], help=text)
    text = "answers: .csv, .parquet or .xlsx; those of --vary go to the screen without it"
    sub.add_argument("-o", "--output", metavar="FILE", help=text)
    sub.add_argument("--format", choices=named(), help="of --vary: how answers look; by --output where not given")
    _stages(sub)
    sub.add_argument("--figures", metavar="A,B", help="only these figures, such as total_usd,calendar_s")
    sub.add_argument("--workers", metavar="N", help="of a file: processes that answer, or all cores (default 1)")
    _question(sub)
    _currency(sub)


def _stages(sub: argparse._ActionsContainer) -> None:
    sub.add_argument("--stages", metavar="A,B", help=f"only these approaches: {', '.join(STAGES)}")


def _serve(commands: Commands) -> None:
    example = "estimator serve --port 8000"
    text = "a page with every input, and an API, on this machine (extra `serve`)"
    sub = _command(commands, "serve", text, _lazy("serve", "serve"), example)
    sub.add_argument("--host", default="127.0.0.1", help="address to listen at (default 127.0.0.1: this machine alone)")
    sub.add_argument("--port", metavar="N", default="8000", help="port to listen at (default 8000)")
    sub.add_argument("--workers", metavar="N", default="1", help="processes that answer (default 1)")
    text = "further host names that requests may name, comma-separated, such as that of a proxy"
    sub.add_argument("--allow-host", metavar="NAMES", help=text)


def _docs(commands: Commands) -> None:
    text = "this version's documentation, in a browser"
    sub = _command(commands, "docs", text, _lazy("docs", "docs"), "estimator docs")
    sub.add_argument("--where", action="store_true", help="print where it lies, and open nothing")


def _completion(commands: Commands) -> None:
    example = "estimator completion fish"
    text = 'what a shell offers at the Tab key: eval "$(estimator completion bash)"'
    sub = _command(commands, "completion", text, _lazy("completion", "completion"), example)
    sub.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def _mcp(commands: Commands) -> None:
    text = "the questions as tools for assistants, by the Model Context Protocol (extra `mcp`)"
    _command(commands, "mcp", text, _lazy("mcp", "mcp"), "estimator mcp")


def _question(sub: argparse.ArgumentParser) -> None:
    asked = sub.add_argument_group("what is asked")
    asked.add_argument(
        "--model", metavar="NAME", help="a size (7b), a preset (llama-3.1-8b), or a path to a config.json"
    )
    asked.add_argument(
        "--gpu",
        metavar="NAME",
        help="an accelerator (a100; estimator catalog accelerators), or with its count (8xa100)",
    )
    asked.add_argument("--gpus", metavar="N", help="how many, when not in the name; chosen if not given")
    asked.add_argument(
        "--api", metavar="PROVIDER:LLM", help="a hosted LLM (estimator catalog apis) instead of own accelerators"
    )
    asked.add_argument(
        "--set",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        dest="inputs",
        help="any input (estimator catalog inputs): VALUE or LOW..VALUE..HIGH, such as 2k or 1k..2k..5k; repeatable",
    )
    text = "training samples to count (.jsonl, .parquet, .csv, or a folder): how many, how long, what padding costs"
    asked.add_argument("--data", metavar="PATH", help=text)
    asked.add_argument("--scenario", metavar="FILE", help="inputs from a TOML file: samples = 2000, method = 'qlora'")
    _chance(asked)
    _facts(asked)
    _prices(sub)


def _chance(sub: argparse._ActionsContainer) -> None:
    """How surely training has to fit."""
    sub.add_argument("--fit-chance", metavar="P", help="that a plan for training has to fit with (default: 0.9)")


def _facts(sub: argparse._ActionsContainer) -> None:
    """Where facts come from besides those that ship."""
    sub.add_argument("--facts", metavar="DIR", help="overlay of your own accelerators, prices and LLMs")
    sub.add_argument("--no-own-runs", action="store_true", help="leave predictions as they are without your own runs")
    sub.add_argument(
        "--download", action="store_true", help="fetch the config.json of an LLM of the hub that no preset has"
    )


def _prices(sub: argparse.ArgumentParser) -> None:
    price = sub.add_argument_group("prices")
    price.add_argument("--price-per-hour", metavar="USD", help="of one accelerator")
    price.add_argument("--purchase-price", metavar="USD", help="of one accelerator you own, instead of an hourly price")
    price.add_argument("--years", metavar="N", help="depreciation of an owned accelerator (default 4)")
    price.add_argument("--electricity", metavar="USD/KWH", help="for owned accelerators (default: a published average)")
    price.add_argument("--provider", help="only this provider's list prices, such as aws")
    price.add_argument("--region", help="only prices in this region, such as us-east-1")
    price.add_argument("--commitment", help="on-demand (default), spot, reserved-1y or reserved-3y")
    price.add_argument("--billing", metavar="HOW", help="replicas (default: whole, always on), autoscaled or per-use")


def _written(sub: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """How and where an answer is written; `formats` says that its form is settled before anything is computed."""
    out = sub.add_argument_group("output")
    text = f"{', '.join(named())}; by the ending of --output where not given, else a table"
    out.add_argument("--format", choices=named(), help=text)
    out.add_argument("--output", metavar="FILE", help="write there instead of to the screen")
    sub.set_defaults(formats=named())
    return out


def _output(sub: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """The same for an answer of figures."""
    out = _written(sub)
    text = "where these figures come from, such as total_usd; the headline ones beneath the answer where none is named"
    out.add_argument("--explain", nargs="?", const="", metavar="FIGURE,...", help=text)
    _level(out)
    _currency(out)
    return out


def _assumptions(out: argparse._ActionsContainer) -> None:
    text = "all inputs the answer rests on, and why they are what they are; the answer ends with those that matter most"
    out.add_argument("--assumptions", action="store_true", help=text)


def _settle_format(arguments: argparse.Namespace) -> None:
    """The form of an answer: as named, else by the ending of the file it goes to, else a table; a tool's as it is."""
    if getattr(arguments, "emit", None):
        if arguments.format:
            raise InvalidInput("--emit writes a file as its tool has it: leave --format out")
    elif getattr(arguments, "formats", None):
        arguments.format = format_for(arguments.output, arguments.format)


def _level(to: argparse._ActionsContainer) -> None:
    text = "share of outcomes that every range holds: 0.8 (default), 0.9, 95%%, ..."
    to.add_argument("--level", metavar="SHARE", help=text)


def _currency(to: argparse._ActionsContainer) -> None:
    text = "money in this currency at your dated rate, such as EUR=0.92@2026-11-01 (data keep USD beside it)"
    to.add_argument("--currency", metavar="CODE=RATE@DATE", help=text)
