"""Lock file -> known vulnerabilities of what it pins, by pip-audit.

Exit code 1 where there are some. Where nobody answers, nothing can be said of them:
that is told, and is no failure.
"""

import json
import subprocess
import sys

TIMEOUT_S = 60  # for all; 4 for each answer


def ask(lock: str) -> dict | None:
    """Give pip-audit's report; None where it could make none."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--requirement",
        lock,
        "--format=json",
    ]
    command += ["--disable-pip", "--require-hashes", "--progress-spinner=off"]
    try:
        done = subprocess.run(
            [*command, "--timeout=4"], capture_output=True, text=True, timeout=TIMEOUT_S
        )
        return json.loads(done.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return None


def judge(report: dict | None) -> tuple[int, str]:
    """Give the exit code, and what to tell."""
    packages = report["dependencies"] if report else []
    found = [
        f"{one['name']} {one['version']}: {bug['id']}, fixed in "
        f"{', '.join(bug['fix_versions']) or 'no version yet'}"
        for one in packages
        for bug in one.get("vulns", ())
    ]
    if found:
        return 1, "\n".join(found)
    n_known = sum("vulns" in one for one in packages)
    if not n_known:
        return 0, "pip-audit: nobody answered, so nothing was checked"
    return 0, f"pip-audit: none known, of {n_known} of {len(packages)} packages"


if __name__ == "__main__":
    code, told = judge(ask(sys.argv[1]))
    print(told)
    sys.exit(code)
