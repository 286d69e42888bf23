"""`python -m tests.servers NAME ...`: start servers by hand, print where they are, stop them at Ctrl-C.

With `--check` in place of names each is started and stopped again.
"""

from __future__ import annotations

import signal
import sys

from tests.servers.programs import PROGRAMS, AbsentError
from tests.servers.run import Run


def main(names: list[str]) -> int:
    check = names == ["--check"]
    if check:
        names = list(PROGRAMS)
    if not names or set(names) - set(PROGRAMS):
        print(f"usage: python -m tests.servers NAME ...\nservers: {', '.join(PROGRAMS)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run = Run.own()
    try:
        for name in names:
            found = run.server(name)
            print(f"{name}: {found.url} (in {found.directory})", flush=True)
        if not check:
            signal.pause()
    except KeyboardInterrupt:
        pass
    except (AbsentError, RuntimeError) as reason:
        print(f"{reason}; `.ci/run servers` installs the servers", file=sys.stderr)
        return 1
    finally:
        run.end()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
