"""What the service does under overload, faults and abuse: promises, each kept or not.

    python benchmarks/faults.py models/ngram-1 models/ngram-2 --bert models/bert-int8    # everything but the soak
    python benchmarks/faults.py … --only sigterm,workers           # some of PARTS
    python benchmarks/faults.py … --only soak --soak-seconds 300   # an hour by default
    python benchmarks/faults.py … --short                          # few of each, in two minutes; proves nothing
    python benchmarks/faults.py … --write                          # also into benchmarks/service_HARDWARE_YYYYMM.md

Two Bundles with the same labels and different weights are the two versions of the hot reloads. The service has core 0
where there are two, this client the others. Every part is bounded in time and count.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path

import uvloop
from hardships import Options
from hardships.hangs import hangs
from hardships.keys_and_hosts import access
from hardships.overloads import overload_bert, overload_bert_few, overload_ngram
from hardships.refusals import refusals
from hardships.reloads import broken, reload
from hardships.signals import sigterm, workers
from hardships.slow_clients import slow_clients
from hardships.soaks import soak
from processes import leave_cores_to_service
from promises import Progress, Section, report

PARTS: dict[str, Callable[[Options], Coroutine[None, None, Section]]] = {
    "overload-ngram": overload_ngram,
    "overload-bert": overload_bert,
    "overload-bert-few": overload_bert_few,
    "refusals": refusals,
    "reload": reload,
    "broken": broken,
    "sigterm": sigterm,
    "workers": workers,
    "hangs": hangs,
    "slow": slow_clients,
    "access": access,
    "soak": soak,
}


def main() -> int:
    options = parse(sys.argv[1:])
    given = Options(options.bundle, options.other, options.bert, options.short, options.soak_seconds)
    leave_cores_to_service()
    progress, kept = Progress(), True
    for part in options.only:
        progress.begin(part)
        section = uvloop.run(PARTS[part](given))
        progress.end(part)
        kept &= report(part, section, write=options.write)
    return 0 if kept else 1


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="the Bundle to serve")
    parser.add_argument("other", type=Path, help="one with the same labels and other weights")
    parser.add_argument("--bert", type=Path, help="an encoder to overload, too")
    parser.add_argument("--only", type=lambda text: text.split(","), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--soak-seconds", type=int, default=3600)
    parser.add_argument("--short", action="store_true", help="few of each; writes nothing")
    parser.add_argument("--write", action="store_true", help="also write the dated page")
    options = parser.parse_args(arguments)
    wanted = options.only or [part for part in PARTS if part != "soak" and (options.bert or "bert" not in part)]
    unknown = [part for part in wanted if part not in PARTS]
    if unknown:
        parser.error(f"there is no part '{unknown[0]}'; the parts are {', '.join(PARTS)}")
    if options.short and options.write:
        parser.error("--short proves nothing, so it is not written")
    options.only = wanted
    return options


if __name__ == "__main__":
    sys.exit(main())
