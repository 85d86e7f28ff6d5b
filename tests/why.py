"""``make why``: docs/why.md, the popular commands tried on the lab's faults, and what the runbook said of the same fault."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import psycopg2

from tests import harness
from tests.lab import faults
from tests.lab.__main__ import CLUSTER
from tests.lab.postgresql.server import dsn
from tests.lab.state import PROJECT, Lab

PAGE = PROJECT / "docs" / "why.md"
ROWS = 4
LONGEST = 150

SLOW = """SELECT pid, now() - query_start AS duration, left(query, 50) AS query
FROM pg_stat_activity
WHERE state = 'active' AND query NOT LIKE '%pg_stat_activity%'
ORDER BY duration DESC"""
SELF_JOIN = """SELECT blocked_locks.pid AS blocked_pid, blocking_locks.pid AS blocking_pid
FROM pg_locks blocked_locks
JOIN pg_locks blocking_locks ON blocking_locks.locktype = blocked_locks.locktype
 AND blocking_locks.relation IS NOT DISTINCT FROM blocked_locks.relation
 AND blocking_locks.transactionid IS NOT DISTINCT FROM blocked_locks.transactionid
 AND blocking_locks.pid != blocked_locks.pid
WHERE NOT blocked_locks.granted"""
DISTINCT = """SELECT tablename, attname, n_distinct, correlation
FROM pg_stats WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
ORDER BY n_distinct DESC"""
COUNT = "SELECT count(*) FROM pg_stat_activity"
KILL_IDLE = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE state = 'idle' AND state_change < now() - interval '10 minutes'"""
AGAIN = "CREATE INDEX CONCURRENTLY IF NOT EXISTS audit_entries_again ON audit_entries (reference)"


LOGS = "kubectl -n custody logs -l app=api-server | grep 'HTTP/1.1 5'; kubectl -n custody logs -l app=api-server | wc -l"
STATUS = "kubectl -n custody rollout status deployment/api-server --timeout=1s"
UNDO = (
    "kubectl -n custody rollout undo deployment/api-server; kubectl -n custody rollout status deployment/api-server --timeout=9s"
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A fault, the command that people type at it, as which role, and why it misleads."""

    fault: str
    title: str
    command: str
    lesson: str
    user: str = "postgres"
    variables: tuple[tuple[str, object], ...] = ()


CASES = (
    Case("queued-ddl", "The longest-running statement", SLOW,
         "It names the innocent report first. Ending that one loses the report; the migration then takes the table's lock."),
    Case("queued-ddl", "The self-join of pg_locks", SELF_JOIN,
         "Everybody is paired with everybody who touches the same table: the row that matters is one among thousands."),
    Case("blocking", "The longest-running statement, once more", SLOW,
         "The session to blame runs nothing: it is idle in a transaction. The list holds its victims only."),
    Case("connection-leak", "How many connections are there?", COUNT,
         "Under exhaustion the question is not answered at all, or the answer is a number without a name.", user="custody_app"),
    Case("connection-leak", "Ending sessions that have been idle for ten minutes", KILL_IDLE,
         "A leak is younger than that, so nothing happens; with a shorter age it is the application's own pool that dies, and "
         "the leaking client comes back first."),
    Case("missing-index", "pg_stats for missing indexes", DISTINCT,
         "It lists columns with many values, with an index or without. Which statement scans which table is not in it."),
    Case("invalid-index", "CREATE INDEX CONCURRENTLY IF NOT EXISTS", AGAIN,
         "An INVALID index of that name is there, so the command is content and nothing gets faster."),
    Case("stale-statistics", "The longest-running statement, for a bad plan", SLOW,
         "It shows the application's own statements. That their plans are made for an empty batch is not in the list."),
    Case("app-stalled", "curl and its exit code", "curl --silent --output /dev/null URL/health; echo $?",
         "The exit code is 0 for a 503. The runbook counts an answer as good by its status, several times in a row."),
)  # fmt: skip
ON_KUBERNETES = (
    Case("bad-release", "kubectl logs and grep", LOGS,
         "Nothing matches: the application logs JSON. And with a selector kubectl shows ten lines of each pod only."),
    Case("bad-release", "rollout status of a release that came up", STATUS,
         "It came up, says kubectl, and it did: whether it answers with errors is not in its readiness."),
    Case("outside-errors", "Rolling back what is not to blame", UNDO,
         "Something else fails, and the release before would fail as well; or there is none. Now there are two changes to "
         "explain."),
)  # fmt: skip


def table(names: list[str], rows: list[tuple[object, ...]]) -> list[str]:
    """The first rows as psql would show them, cut."""
    lines = [" | ".join(names), *(" | ".join(str(value) for value in row) for row in rows[:ROWS])]
    more = [f"({len(rows)} rows)"]
    return [line[:LONGEST] for line in lines] + more


def typed(lab: Lab, case: Case) -> list[str]:
    """What the command prints."""
    if case.command.startswith("kubectl"):
        kubectl = f"{lab.part('kubernetes')['bin']}/kubectl --kubeconfig={lab.file('kubernetes', 'admin.kubeconfig')}"
        done = subprocess.run(["sh", "-c", case.command.replace("kubectl", kubectl)], capture_output=True, text=True, check=False)
        return [line[:LONGEST] for line in (done.stdout + done.stderr).splitlines()] or ["(nothing)"]
    if case.command.startswith("curl"):
        address = lab.part("app")["url"] + "/health"
        return [str(subprocess.run(["curl", "--silent", "--output", "/dev/null", address], check=False).returncode)]
    try:
        connection = psycopg2.connect(dsn(lab, case.user))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(case.command)
            rows = cursor.fetchall() if cursor.description else []
            names = [column.name for column in cursor.description or ()]
        notices = [notice.strip() for notice in connection.notices]
        connection.close()
    except psycopg2.Error as error:
        return [line.strip() for line in str(error).splitlines() if "FATAL" in line] or [str(error).splitlines()[0]]
    return notices or table(names, rows)


def ours(lab: Lab) -> list[str]:
    """The lines of the screen that tell the cause and what to do about it."""
    playbook = f"playbooks/runbook_{'db_degradation' if 'postgres' in lab.parts() else 'error_rate'}.yml"
    with harness.a_root() as root:
        played = harness.play(lab, root, variables={"incident_declare": "never"}, playbook=playbook)
    wanted = ("CAUSE", "UNPROVEN", "DO ", "BY HAND")
    return [line.replace(f"{PROJECT}/", "") for line in played.output.splitlines() if line.startswith(wanted)]


def section(lab: Lab, case: Case) -> list[str]:
    harness.settle(lab)
    faults.break_it(lab, case.fault, seed=len(case.title))
    harness.suffering(lab, locks=faults.FAULTS[case.fault].locks)
    said, answer = ours(lab), typed(lab, case)
    explained = (faults.FAULTS[case.fault].begin.__doc__ or "").splitlines()[0]
    print(f"{case.title}: {answer[0]} · {said[0] if said else ''}", flush=True)
    language = "sh" if case.command.startswith(("curl", "kubectl")) else "sql"
    return [
        f"## {case.title}", "", f"The fault (`{case.fault}`): {explained}", "", f"```{language}",
        case.command, "```", "", "prints", "", "```text", *answer, "```", "", "The runbook, of the same fault:", "", "```text",
        *said, "```", "", case.lesson, "",
    ]  # fmt: skip


def main() -> int:
    head = [
        "# Commands that lie", "",
        "What people type at a sick database or cluster, what it printed on the lab, and what the runbook said of it.",
        "Generated from real runs by `make why`; pids and times are those of that day.", "",
    ]  # fmt: skip
    harness.write_page(PAGE, head, lambda lab: (line for case in CASES for line in section(lab, case)))
    with harness.a_lab("why-cluster", CLUSTER) as lab, PAGE.open("a") as page:
        lines = [line for case in ON_KUBERNETES for line in section(lab, case)]
        page.write("\n" + "\n".join(lines).rstrip("\n") + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
