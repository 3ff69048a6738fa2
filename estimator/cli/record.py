"""`estimator record`: what a run really took, beside what was predicted of it."""

import argparse

from estimator.cli.options import assignment, once, show, use_own_facts


def record(options: argparse.Namespace) -> None:
    """`estimator record FILE...`."""
    from estimator.recording import record as run
    from estimator.recording.share import CHECKLIST, share

    use_own_facts(options)
    told = once(assignment(text) for text in options.inputs)
    hardware = {"model": options.model, "gpu": options.gpu}
    found = run(options.files, **hardware, keep=not options.compare_only, accept=options.accept, **told)
    if options.share:
        share(found, options.share)
    show(options, found, *([CHECKLIST.format(file=options.share)] if options.share else []))
