"""``make mutations``: takes one rule, one cap, one escape away at a time; the unit tests must notice each.

A mutation is (what it takes away, file, old text, new text); a text that is not there is an error.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import pathlib
import queue
import shutil
import subprocess
import sys
import tempfile
import time
import typing as t

from tests.lab.state import PROJECT

UTILS = "plugins/plugin_utils"
SYSTEMS = f"{UTILS}/_systems"
CONNECTIONS, LOCKS, PLANS, SERVER, WORK = (
    f"{SYSTEMS}/postgresql/{name}.py" for name in ("connections", "locks", "plans", "server", "work")
)
EDGE = f"{SYSTEMS}/edge/rules.py"
KUBERNETES = "plugins/module_utils/_kubernetes"
ROLLOUT = f"{KUBERNETES}/rollout.py"
RELEASES, REQUESTS, K8S_COMMON = (f"{SYSTEMS}/kubernetes/{name}.py" for name in ("releases", "requests", "common"))
AUTH, TOKEN = f"{SYSTEMS}/auth/rules.py", "plugins/module_utils/_token/check.py"
K8S_SECRETS, K8S_CONFIGS, TAKERS = (f"{SYSTEMS}/kubernetes/{name}.py" for name in ("secrets", "configs", "takers"))
IMAGES = f"{KUBERNETES}/images.py"
USERS, POOLS, ROTATION = f"{SYSTEMS}/kubernetes/users.py", f"{SYSTEMS}/kubernetes/pools.py", f"{KUBERNETES}/rotation.py"
ANSWERS, CASES, STARTS = (f"{SYSTEMS}/kubernetes/{name}.py" for name in ("answers", "cases", "starts"))
LINES, ANALYSER = (f"plugins/module_utils/_logs/{name}.py" for name in ("lines", "analyser"))
POSTGRESQL = "plugins/module_utils/_postgresql"
AWS, TLS = "plugins/module_utils/_aws", f"{SYSTEMS}/tls/rules.py"
REACH, PATHS, INSTANCES = (f"{SYSTEMS}/aws/{name}.py" for name in ("reach", "paths", "instances"))
AWS_RULES = f"{AWS}/rules.py"
BACKEND = f"{POSTGRESQL}/backend.py"
WITHIN = "plugins/module_utils/_within.py"
EXECUTOR, NOTIFIER = (f"{UTILS}/{name}.py" for name in ("_run/executor", "_channels/notifier"))
REPORT = f"{UTILS}/_render/report.py"
CLIENT = "plugins/module_utils/_http/client.py"
DELIVERY, STORE = (f"{UTILS}/{name}.py" for name in ("_channels/delivery", "_record/store"))
MUTATIONS: list[tuple[str, str, str, str]] = [
    # the rules, one by one
    ("the rule on queued statements", LOCKS, "    queued_ddl,\n    blocking_transaction,\n", "    blocking_transaction,\n"),
    ("the rule on contention", LOCKS, "    lock_contention,\n    advisory_waits,\n", "    advisory_waits,\n"),
    ("the rule on commits that wait", LOCKS, "    commit_waits,\n    blocker_waits,\n", "    blocker_waits,\n"),
    ("the rule on blockers that wait", LOCKS, "    blocker_waits,\n    lock_contention,\n", "    lock_contention,\n"),
    ("the rule on connections", CONNECTIONS, "RULES = (connection, connection_slots, ", "RULES = (connection, "),
    ("the rule on roles' limits", CONNECTIONS, "connection_slots, role_limits, ", "connection_slots, "),
    ("the rule on the application's roles", CONNECTIONS, "role_limits, application_roles)", "role_limits)"),
    ("the rule on dead rows", PLANS, "dead_rows, ", ""),
    ("the rule on heavy statements", WORK, "RULES = (long_statements, heavy_statement, ", "RULES = (long_statements, "),
    ("the rule on slow statements", WORK, "heavy_statement, statements_slow, unseen)", "heavy_statement, unseen)"),
    ("that nobody seen is a gap", WORK, "statements_slow, unseen)", "statements_slow)"),
    ("the rule on servers that take no writes", SERVER, "RULES = (read_only, ", "RULES = ("),
    ("the rule on transaction ids", SERVER, "RULES = (read_only, wraparound, ", "RULES = (read_only, "),
    ("the rule on sequences", SERVER, "vacuum_held_back, sequences, ", "vacuum_held_back, "),
    # who is to blame, and who suffers
    ("that the climb stops at a migration", f"{POSTGRESQL}/locks.py", "(softly or above.queues_to_change)", "softly"),
    ("that the climb goes on through the application's own lock", f"{POSTGRESQL}/locks.py", "not above.own_lock and ", ""),
    ("that a holder which waits is no root", LOCKS, "    if _is_stuck(facts, session) or ", "    if "),
    ("that a holder without a processor is no root", LOCKS, " or _is_starved(facts, session):", ":"),
    ("that a passing holder is no root", LOCKS, "    if _is_passing(facts, session, held_up):\n", "    if False:\n"),
    ("that a holder is looked at again", LOCKS, '        return not later[session["pid"]]\n', "        return False\n"),
    ("that advisory locks are no users' waiting", LOCKS, 'USERS_WAIT_FOR = ("relation", ', 'USERS_WAIT_FOR = ("advisory", "relation", '),
    ("that a migration is no user", LOCKS, 'session["mode"] in SCHEMA_CHANGES and not own_lock:', "False:"),
    ("that the application's own LOCK TABLE is waiting", LOCKS, " and not own_lock:", ":"),
    ("that victims who hold the slots are victims", LOCKS, " or slots_are_taken(facts)", ""),
    ("that short waits are waits while users suffer", LOCKS, "if pid in behind or ", "if "),
    ("that nothing is ruled out while waits are seen", LOCKS, "    if not _lock_waits_are_seen(facts):\n", "    if True:\n"),
    ("that one who waits proves no cause", LOCKS, "(not _are_several(facts, held_up) or ", "("),
    ("that a leader by a row is nobody's cause", LOCKS, " or _is_own_queue(facts, session, held_up))", ")"),
    ("that one who waits is not what users feel", LOCKS,
     '"db.blocked_sessions" if several else "db.few_sessions_blocked"', '"db.blocked_sessions"'),
    ("that the statement's age is what users feel", LOCKS, 'return bool(mostly and (session["statement_seconds"] or 0) >= limit)', "return False"),
    ("that a prepared transaction is found through a queue", LOCKS, " | {pid for pids in queued.values() for pid in pids}", ""),
    ("that the lock table measures nobody", f"{UTILS}/_judgement/verdict.py", '{one.of for one in measured} - {"system"}', "{one.of for one in measured}"),
    ("that what was not read is not healthy", f"{UTILS}/_judgement/verdict.py", 'not any(gap["vital"] for gap in gaps) and ', ""),
    ("that writes must be tried where they are ended", f"{UTILS}/_judgement/verdict.py", "not (ended and ", "not (False and "),
    ("that nobody is a leak where nobody is named", CONNECTIONS,
     "    if not any(_is_named(facts, user) for user in there):\n", "    if False:\n"),
    ("that who waits for locks leaks no sessions", CONNECTIONS, "blamed is not None and _wait_for_locks(facts, blamed[1])", "False"),
    ("that sessions in use are no leak", CONNECTIONS, "    return bool(active > ", "    return bool(False and active > "),
    ("that a refusal of our own login is a gap", CONNECTIONS, "    if kind in OUR_OWN:\n", "    if False:\n"),
    ("that the processors must be shown to be short", WORK, ") and processors_are_short(facts)\n", ")\n"),
    ("that a statement which was quick before is not to blame", WORK, "disk, slowed = waits_for_disk(facts), _slowed(calls, limit)",
     "disk, slowed = waits_for_disk(facts), False"),
    ("that a limit is never loosened", WORK, "() if tighter else (limit,)", "(limit,)"),
    ("that the application's own plan must be known", WORK, " and not _plan_is_unknown(facts)", ""),
    ("that a dump is never cancelled", WORK, 'if one["command"] in READS and not one.get("writes")]', "]"),
    ("that what writes is not cancelled lightly", WORK, ' and not one.get("writes")]', "]"),
    ("that a possible cause takes nothing away", f"{UTILS}/_judgement/ranking.py", 'if cause.confidence != "possible"]', "]"),
    ("that an edge holds where findings meet", f"{UTILS}/_judgement/ranking.py", "and bool(cause.refs & symptom.refs)", ""),
    ("that reads are told from writes", EDGE, 'return probe["method"] in ("GET", "HEAD")', "return True"),
    # plans
    ("that a stale table proves no missing index", PLANS, "    if _overdue(table, 1.0):\n", "    if False:\n"),
    ("that what is not understood proves no missing index", PLANS, '    if scan["unclear"]:\n', "    if False:\n"),
    ("that an index which is there is not missing", PLANS, '    if scan["covered_by"]:\n', "    if False:\n"),
    ("that a plan for many rows is not stale", PLANS, "few = [number for number in rows if number <= A_FEW_ROWS]", "few = rows"),
    ("that a wait for the disk is no stale plan", PLANS, " and waits_for_disk(facts) < SHARE_THAT_MATTERS)", ")"),
    ("that a statement must have a part in the work", PLANS, ' and share_of_work(facts, plan["statement"]) >= SHARE_THAT_MATTERS', ""),
    ("that there is one statement", f"{POSTGRESQL}/plans.py", "    if len(found) != 1:\n", "    if not found:\n"),
    ("that only known syntax is planned", f"{POSTGRESQL}/plans.py", "    if strange:\n", "    if False:\n"),
    ("that a field of a composite value may be a call", f"{POSTGRESQL}/plans.py", "    _refuse_hidden_calls(every)\n", ""),
    ("that a text may grow", f"{POSTGRESQL}/plans.py", "    _refuse_growth(", "    len("),
    ("that triggers read more than a plan shows", PLANS, '    if plan.get("triggers") and ', "    if False and "),
    ("that a view is not planned", f"{POSTGRESQL}/planning.py", 'if chosen["kind"] not in ("r", "p", "m") or ', "if "),
    ("that it is known which table is meant", f"{POSTGRESQL}/planning.py", "    if len(meant) != 1:\n", "    if not meant:\n"),
    ("that a cast can hide an index", f"{POSTGRESQL}/planning.py", "if one.cast and (kind, one.cast) not in SAME_TYPES:", "if False:"),
    ("that an OR is not understood", f"{POSTGRESQL}/sql.py", '    if expression.boolop.name != "AND_EXPR":\n', "    if False:\n"),
    ("that what is written anew means the same", f"{POSTGRESQL}/sql.py", "    if statements(text) != [tree]:\n", "    if False:\n"),
    ("that a NUL ends no text", f"{POSTGRESQL}/sql.py", '    if "\\0" in text:', "    if False:"),
    ("that the two ways to quote are told apart", f"{POSTGRESQL}/sql.py", "    _refuse_other_quoting(text)\n    parts", "    parts"),
    ("that literals are masked", f"{POSTGRESQL}/sql.py", "        if token.name in _LITERALS:\n", "        if False:\n"),
    # acts
    ("the cap on backends", BACKEND, "if len(signals) > wanted.max:", "if False:"),
    ("the check of a backend's start", BACKEND, 'if not row["same_session"]:', "if False:"),
    ("the check of a backend's transaction", BACKEND, 'if wanted.state == "terminated" and not row["same_transaction"]:', "if False:"),
    ("the check of a backend's statement", BACKEND, 'if wanted.state == "canceled" and not row["same_statement"]:', "if False:"),
    ("that the next transaction is not ended after a cancel", BACKEND, "return before.xact_start is not None and ", "return False and "),
    ("that superusers' sessions are left alone", BACKEND, 'if row["superuser"] and not wanted.allow_superusers:', "if False:"),
    ("that a superuser's session is no target", f"{SYSTEMS}/postgresql/common.py", ' and not session["superuser"])', ")"),
    ("that isolating never raises a limit", f"{POSTGRESQL}/client.py", 'if wanted.state == "isolated" and current >= 0:', "if False:"),
    ("that a limit which somebody changed stays", f"{POSTGRESQL}/client.py", "if wanted.expected is not None and ", "if False and "),
    ("that an index of somebody else is not dropped", f"{POSTGRESQL}/index.py", ' and one["oid"] not in before]', "]"),
    ("that an undo knows its index", f"{POSTGRESQL}/index.py", 'if wanted.oid is not None and one["oid"] != wanted.oid:', "if False:"),
    ("that an act has a time limit", WITHIN, "    thread.join(seconds)\n", "    thread.join(30)\n    done = done or [t.cast('T', 7)]\n"),
    ("that a standby is offered no index", PLANS, '(target,) if common.is_writable(facts) and not scan["partitions"]', "(target,) if True"),
    ("that some are acted on by name only", f"{UTILS}/_run/plan.py", "    if by_name and not only:\n", "    if False:\n"),
    ("the cap on what is acted on one at a time", EXECUTOR, "act.count > act.max", "False"),
    ("what tells two targets apart", f"{UTILS}/_run/undo.py", "[target.get(field) for field in identity]", '[target.get("name")]'),
    ("the memory of what was there first", f"{UTILS}/_run/undo.py", "begun.setdefault(thing, (", "begun.__setitem__(thing, ("),
    # the way to the vendors
    ("that no secret is left in a result", "plugins/module_utils/_no_log.py", "return scrubbed(value, secrets)", "return value"),
    ("that a secret is taken out before a text is cut", CLIENT, "text = scrubbed(text, self.settings.secrets)", "pass"),
    ("that a key goes nowhere unencrypted", CLIENT, 'if parts.scheme == "http" and ', "if False and "),
    ("that everything together has a budget", CLIENT, "min(self.settings.timeout, self._left())", "self.settings.timeout"),
    ("that a write without a readable answer is unknown", CLIENT, "            except UnusableAnswerError as error:\n", "            except ZeroDivisionError as error:\n"),
    ("that what is listed late is waited for", CLIENT, "for attempt in range(looks):", "for attempt in range(1):"),
    ("that incidents of any age are found", "plugins/module_utils/_pagerduty/api.py", ' ("date_range", "all"),', ""),
    ("that the public incident of another controller is taken over", "plugins/module_utils/_statuspage/ensure.py",
     'and not wanted.incident_id and wanted.status == "investigating":', "and False:"),
    ("that a channel that is down is left out", DELIVERY, 'if event.get("down")}', "if False}"),
    ("that what may have arrived is looked for", DELIVERY, "        if in_doubt:\n", "        if False:\n"),
    # the record
    ("that what failed and changed nothing was not done", f"{UTILS}/_record/history.py",
     'elif event["status"] == "failed" and not event.get("changed"):', "elif False:"),
    ("that an alert after the look is seen", f"{UTILS}/_record/history.py", 'any(event.get("alert") for event in events[begun:])', "False"),
    ("that nothing is done that cannot be recorded", EXECUTOR, 'if steps and self.opened.get("unrecorded"):', "if False:"),
    ("that findings of the future are not fresh", f"{UTILS}/_record/context.py", "0 <= age <= max_age", "age <= max_age"),
    ("that nothing is written through a link", STORE, " | os.O_NOFOLLOW | os.O_NONBLOCK, mode)", ", mode)"),
    ("that a note pages nobody", "plugins/module_utils/_pagerduty/ensure.py", '    if wanted == "present":\n        return False\n', ""),
    ("that what is refused for good holds back nothing", DELIVERY, 'if message.once and result.get("refused"):', "if False:"),
    ("that an alert waits for a run that does not look", f"{UTILS}/_run/opening.py", "if alert is not None and held.looks:", "if alert is not None:"),
    ("that only its user reads a record", STORE, "path.chmod(0o2770 if is_shared(path.parent) else 0o700)", "pass"),
    ("that a full disk is seen", STORE, "            os.fsync(handle.fileno())\n    except", "            pass\n    except"),
    ("that only what was healthy is pruned", STORE, 'if data_of(folder / "incident.json")["state"] == "closed" and not noted:', "if True:"),
    ("that an incident is found before it is there", f"{UTILS}/_run/opening.py", "    remember_key(folder, key)\n    incident =", "    incident ="),
    ("that two containers are told apart", f"{UTILS}/_record/lock.py", '("host", "boot", "namespace")', '("host", "boot")'),
    ("that one line is one line", f"{UTILS}/_record/inputs.py", '    if category in SEPARATING or character in FILLERS:\n        return " "\n', ""),
    # the rooms for systems
    ("that a host of two kinds has facts of both", f"{UTILS}/_judgement/verdict.py", "if (system, kind) not in read}",
     "if system not in {one for one, _kind in read}}"),
    ("that a system is handed its own kinds' steps", f"{UTILS}/_run/plan.py", "if catalogue.mitigations[name].kind in kinds]", "]"),
    ("that a circle of dependencies is refused", f"{UTILS}/_run/dependencies.py", "        if system in before:\n", "        if False:\n"),
    ("that targets are told apart", f"{UTILS}/_judgement/catalogue.py", "            if not mitigation.identity:\n", "            if False:\n"),
    ("that a row goes on where none begins", f"{UTILS}/_render/screen.py", 'HANGING_UNDER = " " * 11, " " * 14', 'HANGING_UNDER = "", ""'),
    ("that a refusal in another language is no outage", f"{POSTGRESQL}/connection.py", "    if not message.isascii():", "    if False:"),
    # who may read what, what needs no finding, and what came first
    ("that a title tells nothing", f"{UTILS}/_channels/channel.py", "    if disclosure_of(incident) == NEED_TO_KNOW:\n        return f\"Conf", "    if False:\n        return f\"Conf"),
    ("that a cause is told to those who may know", f"{UTILS}/_channels/channel.py", "self._hinted() if self.is_confidential else", ""),
    ("that the public is told of public incidents", f"{UTILS}/_channels/status_page.py", "settings if disclosure == PUBLIC else", "settings or"),
    ("that followers hear of no confidential incident", f"{UTILS}/_channels/pagerduty.py", " and not stage.is_confidential:", ":"),
    ("that a person's words do not leave", f"{UTILS}/_channels/pagerduty.py", "    if disclosure_of(incident) == NEED_TO_KNOW:\n        return []\n", ""),
    ("that a key tells nothing", f"{UTILS}/_channels/channel.py", "    if disclosure_of(incident) == NEED_TO_KNOW and not incident.get(\"key_was_given\"):\n", "    if False:\n"),
    ("that what was written for more readers is withdrawn", DELIVERY, "        self._withdraw()\n", ""),
    ("that a disclosure is never loosened", f"{UTILS}/_run/opening.py",
     "wanted = strictest(known, *asked.disclosures)", "wanted = strictest(*asked.disclosures)"),
    ("that a step needs no finding", f"{UTILS}/_run/plan.py", " and not declared.issuperset(asked):", ":"),
    ("that what is done after the end is proven again", EXECUTOR, "                self.context.reopen()  #", "                pass  #"),
    ("that the verdict goes before the procedure", f"{UTILS}/_run/plan.py", 'if offer["system"] not in judged or others', 'if True'),
    ("that a step's targets are told apart", f"{UTILS}/_run/procedure.py", "        if missing:\n", "        if False:\n"),
    ("that what came later stands behind", f"{UTILS}/_judgement/ranking.py", "        _came_later(item, catalogue),\n", ""),
    ("that one of two which was not done is missed", f"{UTILS}/_run/plan.py", "missed = [name for name in asked if name not in seen]", "missed = [] if seen else list(asked)"),
    ("that what was something is never closed as nothing", f"{UTILS}/_run/run.py", "well = incident[\"state\"] == \"open\" and quiet and not self._was_more()", "well = incident[\"state\"] == \"open\" and quiet"),
    ("that nobody waits without knowing", f"{UTILS}/_run/run.py", "            self.notifier.declare_what_is_left()\n", "            pass\n"),
    ("that a stricter alert tightens", f"{UTILS}/_run/opening.py", "    _tighten(record, found[1], asked)\n", ""),
    ("that what may have arrived is not called withdrawn", DELIVERY, '"maybe" if unclear else "withdrawn"', '"withdrawn"'),
    ("that a withdrawn message is written anew", f"{UTILS}/_record/outbox.py", "                messages.pop(line[\"id\"], None)\n", ""),
    ("that what cannot be read is confidential", f"{UTILS}/_run/opening.py", "[NEED_TO_KNOW] if unreadable else []", "[]"),
    ("that steps of a mitigation are one", f"{UTILS}/_run/procedure.py", "(step[\"mitigation\"], system),\n", "(step[\"mitigation\"], system, len(offers)),\n"),
    ("that a step's system is there", f"{UTILS}/_run/procedure.py", "    if wrong:\n", "    if False:\n"),
    ("that only some can be declared", f"{UTILS}/_run/procedure.py", "    if not mitigation.declarable:\n", "    if False:\n"),
    ("that an index is dropped by its OID", f"{POSTGRESQL}/index.py", 'if [one["oid"] for one in found] != [oid]:', "if False:"),
    ("that only our own leftover is dropped", f"{POSTGRESQL}/index.py", 'if one["name"] == wanted.name and one["oid"] not in before', 'if not one["valid"]'),
    ("that a young prepared transaction stays", f"{POSTGRESQL}/prepared.py", "    if found.seconds < older_than:\n", "    if False:\n"),
    ("that an analysis is confirmed", f"{POSTGRESQL}/statistics.py", "    while look(connection, table.schema, table.table).runs <= table.runs:\n", "    while False:\n"),
    ("that an undo knows what failed half-way", EXECUTOR, '(changed and result.get("made")) or {}', "{}"),
    ("that two of one name are not told apart", f"{UTILS}/_run/plan.py", "    if only and len(known) < len(targets):\n", "    if False:\n"),
    ("that what nobody sees is written out", f"{POSTGRESQL}/names.py", "    if not any(_is_unseen(letter) for letter in name):\n", "    if True:\n"),
    # Kubernetes
    ("that both releases fail is no release's fault", ANSWERS, '    if theirs.ratio > facts["limits"]["error_ratio_max"]:\n', "    if False:\n"),
    ("that noise proves nothing", REQUESTS, "is_enough and spread > 0 and apart / math.sqrt(spread) >= FAR_APART", "mine.ratio > theirs.ratio"),
    ("that a small difference proves nothing", REQUESTS, " and mine.ratio >= TIMES_AS_OFTEN * theirs.ratio", ""),
    ("that the same minutes are compared", ANSWERS, "minutes = set(bad.minutes) & set(beside.minutes)", "minutes = set(bad.minutes) | set(beside.minutes)"),
    ("that a canary's twins are beside it", ANSWERS, "case.earlier or case.twins", "case.earlier"),
    ("that pods which end are heard", ANSWERS, 'pod["ready"] or pod["terminating"]', 'pod["ready"]'),
    ("that errors before it are not its own", ANSWERS, "before is not None and before > 0 and beside.fails", "False and beside.fails"),
    ("that its own pods agree", ANSWERS, "    if good:\n", "    if False:\n"),
    ("that a path which had served is not the release's", ANSWERS, "    if bad.expected_errors >= SERVED_WELL:\n", "    if False:\n"),
    ("that chance is told", ANSWERS, "    if bad.expected_errors >= MAY_BE_CHANCE:\n", "    if False:\n"),
    ("that old errors are not those of now", REQUESTS, "for number in range(RECENT_MINUTES))", "for number in range(99 * RECENT_MINUTES))"),
    ("that each path is judged", REQUESTS, "    return max(failing, key=", "    return max([], key="),
    ("that a release is not judged by later pods", ANSWERS, "_are_its_first(facts, case) and ", ""),
    ("that restarted pods are not its first", ANSWERS, 'return not workload["releases"][0]["restart"] and not are_later', "return not are_later"),
    ("that pods made after it was complete are not its first", ANSWERS, " and not are_later and", " and"),
    ("that logs must go back to the start", ANSWERS, " and are_read_from_their_start(facts, case.new)):", "):"),
    ("that a second start hides the first", REQUESTS, ' and not any(pod["restarts"] for pod in pods)', ""),
    ("that young pods' logs are whole", REQUESTS, "return are_young and", "return bool(are_young or True) and"),
    ("that a rotated log is not whole", REQUESTS, "are_young and are_whole and", "are_young and"),
    ("that a cut log is not whole", REQUESTS, ' if not one["cut"]}', "}"),
    ("that a proxy's log counts once", REQUESTS, '    return [found[pod["name"]] for pod in pods if pod["name"] in found]', '    return [one for one in facts["logs"] if one["pod"] in {pod["name"] for pod in pods}]'),
    ("that a restart is no release", CASES, 'enumerate(releases) if not one["restart"])', "enumerate(releases))"),
    ("that forward is no way out of a rollback", CASES, 'if (seconds_between(before["created_at"], newest["created_at"]) or 0.0) < 0.0:', "if False:"),
    ("that a new Deployment is not ruled out", CASES, '    if age is None or age <= facts["log_seconds"]:\n', "    if False:\n"),
    ("that all of a release's pods must fail", STARTS, "len(failing) < len(case.new) or ", ""),
    ("that pods of the release before which crash are told", STARTS, " or any(trouble_of(facts, case.workload, pod) for pod in case.old):", ":"),
    ("that a release which was complete for long is not told", STARTS, "    if age is None or age > SETTLES_WITHIN:\n", "    if False:\n"),
    ("that those which serve beside it are told", STARTS, "    if serving:\n", "    if False:\n"),
    ("that no room is no release's fault", STARTS, "if why == UNSCHEDULABLE and", "if False and"),
    ("that what was in trouble before is told", STARTS, "    if earlier:\n", "    if False:\n"),
    ("that lateness is no proof", STARTS, 'all(pod["reason"] in BROKEN for pod in failing)', "True"),
    ("that what has no hash is not offered", RELEASES, 'not (workload["uid"] and new["hash"] and was["hash"]) or new["hash"] == was["hash"]', "False"),
    ("that what another tool keeps is not offered", RELEASES, 'if owner or workload["paused"] or new["configuration"] else', 'if new["configuration"] else'),
    ("that a configuration is not rolled back", RELEASES, ' or new["configuration"] else', " else"),
    ("that what was not read is no release's", RELEASES, '    if is_unread(facts, "workloads", "releases", "pods", "services"):\n', "    if False:\n"),
    ("that a release is ruled out only where all was read", ANSWERS, 'if not (are_read(facts, case.new) and all(pod["ready"] for pod in case.new)):', "if False:"),
    ("that pods which end are not counted", K8S_COMMON, ' if not pod["terminating"]]', "]"),
    ("that evicted pods are not counted", K8S_COMMON, ' and not pod["over"]]', "]"),
    ("that a pod may start", K8S_COMMON, 'if not (pod["reason"] in BROKEN or is_late):', "if False:"),
    ("that a key is missing only where the application says so", K8S_SECRETS, '"proven" if says_so else "possible"', '"proven"'),
    ("that what was said long ago is over", K8S_SECRETS, "ago is not None and ago <= RECENT_SECONDS", "True"),
    ("that another key's name is not this one's", K8S_SECRETS, r'rf"(?<![\w.-]){re.escape(key)}(?![\w.-])"', "re.escape(key)"),
    ("that forged tokens from before say nothing of the key", K8S_SECRETS, "is_old = after is not None and after < 0", "is_old = False"),
    ("that both sides refuse each other", K8S_SECRETS, "min(taken.refused) >= LEAST_ERRORS", "True"),
    ("that a container of the same second is no newer one", K8S_SECRETS, "age is not None and age > 0", "age is not None and age >= 0"),
    ("that a container tells since when it runs", K8S_SECRETS, 'seconds_between(written, _since(pod, secret["name"], key))', 'seconds_between(written, pod["created_at"])'),
    ("how long a key has to be", K8S_SECRETS, 'length < facts["limits"].get("auth_bytes_min", 0)', "False"),
    ("that what another tool writes is not offered", K8S_SECRETS, ' or secret["owner"]', ""),
    ("that what others take too is not offered", K8S_SECRETS, " and not others", ""),
    ("that a key is generated only where any text will do", K8S_SECRETS, 'facts["limits"].get("auth_generate") and ', ""),
    ("that without the pods nothing is said of the key", K8S_SECRETS, 'if is_unread(facts, "workloads"', 'if False and is_unread(facts, "workloads"'),
    ("that a rule that fails leaves the others", f"{UTILS}/_judgement/verdict.py", "        except Exception as error:", "        except RecursionError as error:"),
    ("that a feature's pods separate", K8S_CONFIGS, " or not separates(bad, beside):", ":"),
    ("that pods of two releases tell nothing of a feature", TAKERS, '    if not all(pod["revision"] in revisions for pod in pods):', "    if False:"),
    ("that other sources may stand before a feature's", TAKERS, '    if not all(one["is_sure"] for one in every):', "    if False:"),
    ("that other keys may have been changed", K8S_CONFIGS, 'isinstance(judged, Shown) and not config["is_alone"]', "False"),
    ("that several features fit", K8S_CONFIGS, "_among_others(shown, others)", "shown"),
    ("that one that has a feature is well", K8S_CONFIGS, "    good = that_answer_well(facts, taken.since, bad)", "    good: list[str] = []"),
    ("that all see a feature's file", K8S_CONFIGS, "    good = that_answer_well(facts, taken.pods, bad)", "    good: list[str] = []"),
    ("that pods were well with a feature", K8S_CONFIGS, "    if bad.expected_errors >= MAY_BE_CHANCE:", "    if False:"),
    ("that pods of a feature are there", K8S_CONFIGS, 'taken.is_whole and all(pod["ready"] for pod in taken.pods) and are_read(facts, taken.pods)', "True"),
    ("that errors of before are not a feature's", K8S_CONFIGS, "    if later < 0:", "    if False:"),
    ("that logs go back to the start of a feature's pods", K8S_CONFIGS, "    if not are_read_from_their_start(facts, taken.since):", "    if False:"),
    ("that a feature's pods are looked at alone", K8S_CONFIGS, "worst(facts, paths_of(facts, taken.since), recent) or ", ""),
    ("that a feature's pods run the same images", K8S_CONFIGS, '    if len({tuple(pod["image_ids"]) for pod in taken.pods}) > 1:', "    if False:"),
    ("that a pod that does not run may have a feature", TAKERS, "return self.is_known and not self.missing", "return self.is_known"),
    ("that a Secret was written since, too", K8S_CONFIGS, "for at in one[\"written\"].values())", "for at in ())"),
    ("that a switch may be the other way round", TAKERS, "value.strip().lower() == off.strip().lower()", 'value.strip().lower() in ("false", "off")'),
    ("that a restart is made up for", f"{KUBERNETES}/restarts.py", "(self.done or self._is_behind(self.target))", "self.done"),
    ("that another run's writing is not taken back", f"{KUBERNETES}/configs.py", ' and self.at in ("", written_of(found).get(key))', ""),
    ("that two owners wrote at one time or another", f"{KUBERNETES}/data.py", "len(entries) == 1 and", "bool(entries) and"),
    ("that the good one is refused after the false ones", f"{SYSTEMS}/auth/rules.py", '    elif again is not None and again["accepted"] < again["requests"]:', "    elif False:"),
    ("that a feature's errors begin soon", K8S_CONFIGS, "    if later > SEEN_WITHIN:", "    if False:"),
    ("that many were well before a feature", K8S_CONFIGS, "    if bad.expected_errors < SERVED_WELL:", "    if False:"),
    ("that a key that others take is not written", K8S_CONFIGS, " or others_take(facts, workload, config)", ""),
    ("that what is there is what was looked at", f"{KUBERNETES}/configs.py", "        if data.get(key.key) != self._was:", "        if False:"),
    ("that a secret of a ConfigMap is not shown", f"{KUBERNETES}/configs.py", "for text in (value, f\"{key}={value}\")", "for text in ()"),
    ("that a feature may have come with a release", f"{SYSTEMS}/kubernetes/releases.py", '"likely" if beside and shown.confidence == "proven" else ', ""),
    ("that the good token is asked again", f"{SYSTEMS}/auth/rules.py", '    elif again is None or again["accepted"] < again["requests"]:', "    elif False:"),
    ("that only a body's beginning is searched", "plugins/module_utils/_probe/probe.py", "body[:SEARCHED]", "body"),
    ("that a password in an address is not said", "plugins/module_utils/_token/check.py", '"it" if "@" in params[name] else ', ""),
    ("that a key of the name may be of another kind", "plugins/module_utils/_token/check.py", 'fits = kind is None or one.get("kty") in (None, kind)', "fits = True"),
    ("that another tool is called helm too", f"{KUBERNETES}/owners.py", "BY_HAND.fullmatch(one)", "BY_HAND.match(one)"),
    ("that an owner's name is a name", f"{KUBERNETES}/owners.py", 'name[:LONGEST_NAME] if NAME.fullmatch(name) or name in OWN_WORDS else "ITS-NAME"', "name"),
    ("that only our own is taken back", f"{KUBERNETES}/configs.py", "if self._own and ", "if False and "),
    ("that a time without its writer's is none", f"{KUBERNETES}/data.py", " if all(times) else None", ""),
    ("that a webhook's words are not told", f"{KUBERNETES}/secrets.py", "(HTTP {error.status}); {UNSAID}", "{error}"),
    ("that a name that could be an option is left out", f"{KUBERNETES}/owners.py", 'shlex.quote(name) if NAME.fullmatch(name) else "ITS-NAME"', "shlex.quote(name)"),
    ("that a Secret's writers are its owners", f"{KUBERNETES}/owners.py", "found = mark or manager", "found = mark"),
    ("that a value from before must be the one that was kept", f"{KUBERNETES}/secrets.py", ' or (digest_of(value, decoded(before)) if before is not None else "") != kept', ""),
    ("that what was kept before is not lost", f"{KUBERNETES}/secrets.py", "        if key.name + BEFORE in data:", "        if False:"),
    ("the comparison of an object's uid", f"{KUBERNETES}/data.py", 'if uid and meta.get("uid") != uid:', "if False:"),
    ("that what another tool writes is refused", f"{KUBERNETES}/data.py", "    if owner:", "    if False:"),
    ("that the server compares an object's version", f"{KUBERNETES}/data.py", 'in ("uid", "resourceVersion")', 'in ("uid",)'),
    ("that somebody else's value is not taken back", f"{KUBERNETES}/secrets.py", "if digest_of(value) != digest or", "if"),
    ("that what is replaced is kept", f"{KUBERNETES}/secrets.py", "        if length is not None:\n            after", "        if False:\n            after"),
    ("the rule on what nobody signed", AUTH, "RULES = (door, expired, ", "RULES = (expired, "),
    ("the rule on the issuer's keys", AUTH, "good_token, issuer_keys, clock)", "good_token, clock)"),
    ("the rule on expired tokens", AUTH, "(door, expired, good_token", "(door, good_token"),
    ("that only a refusal is a refusal", AUTH, 'if _count(one, REFUSED) < one["requests"]]', "if False]"),
    ("that a URL which asks for no token proves nothing", AUTH, 'checked["body_asked"] and not needs_none', 'checked["body_asked"]'),
    ("that a status alone proves no open door", AUTH, 'sure = checked["body_asked"] and', "sure ="),
    ("that refusals prove something only beside a good token", AUTH, 'good is None or good["accepted"] < good["requests"] or checked["claims"] is None or _why_not_good(facts)', "False"),
    ("that an expired token is no good one", AUTH, "    if why:\n        yield Gap(system, GOOD, why)", "    if False:\n        yield Gap(system, GOOD, why)"),
    ("that a cache may keep an expired token", AUTH, "    if ago > CACHED_SECONDS:", "    if ago > 0:"),
    ("that an issuer's newer keys were not tried", AUTH, "        if _not_tried(facts):\n", "        if False:\n"),
    ("that an unknown key explains refusals only", AUTH, '"proven" if seen else "possible"', '"proven"'),
    ("that another issuer's token has other keys", AUTH, 'if (claims["issuer"] or "").rstrip("/") != keys["issuer"].rstrip("/"):', "if False:"),
    ("that shared keys are published by nobody", AUTH, ' in ("HS", "NO"):', " in ():"),
    ("that keys without names are not understood", AUTH, '    if keys["unnamed"] and', "    if False and"),
    ("that our own clock may be the wrong one", AUTH, "    if issuer is not None and _is_far(facts, issuer):", "    if False:"),
    ("that a clock is a cause only with a second witness", AUTH, "sure = why is not None and issuer is not None and", "sure = why is not None and"),
    ("that the clock of the refusing answers counts", AUTH, '(ahead if clocks["refusing"] is None else clocks["refusing"])', "ahead"),
    ("that no false token is sent beside refused ones", TOKEN, "if REFUSED not in statuses and ", "if "),
    ("that the verdict does not wait for false tokens", TOKEN, " and statuses != {None}:", ":"),
    ("that without a request nothing is known", TOKEN, '    if params["requests"] < 1:', "    if False:"),
    ("that keys are asked for at the issuer's own host only", TOKEN, "    if (here.scheme, here.netloc) != (there.scheme, there.netloc):\n", "    if False:\n"),
    ("that a document is the issuer's own", TOKEN, 'if str(found.get("issuer") or "").rstrip("/") != issuer.rstrip("/"):', "if False:"),
    ("that a token goes over TLS only", TOKEN, 'urllib.parse.urlsplit(params[name]).scheme != "https" and not is_loopback(params[name]):', "False:"),
    ("that a Date without a zone is in UTC", TOKEN, "(date if date.tzinfo else date.replace(tzinfo=datetime.UTC))", "date"),
    ("that half a letter is no letter", TOKEN, '.encode("utf-8", "replace").decode() if isinstance(value, str)', ' if isinstance(value, str)'),
    ("that a chunk which lies is read to the limit only", "plugins/module_utils/_probe/probe.py", "answer.read1(min(PIECE, limit - len(found)))", "answer.read(min(PIECE, limit - len(found)))"),
    ("that failing pods are weighed against all who serve", f"{SYSTEMS}/kubernetes/traffic.py", '"likely" if least < ENOUGH else "possible"', '"likely"'),
    ("that few requests say nothing", f"{SYSTEMS}/kubernetes/traffic.py", 'if bad is None and seen.requests < limits["requests_min"] and not over:', "if False:"),
    ("that errors are ruled out only where all was read", f"{SYSTEMS}/kubernetes/traffic.py", "        if not are_read(facts, pods):\n", "        if False:\n"),
    ("that a Deployment is told by its uid", ROLLOUT, 'if target.uid and found["metadata"]["uid"] != target.uid:', "if False:"),
    ("that another release by now is left alone", ROLLOUT, "(now != target.from_hash or newer)", "newer"),
    ("that a template which no release has yet is left alone", ROLLOUT, "(now != target.from_hash or newer)", "now != target.from_hash"),
    ("that an empty check refuses", ROLLOUT, "target.from_hash is not None and", "target.from_hash and"),
    ("that a newer template is waited for", ROLLOUT, "while not is_observed(found := self.read(target)):", "found = self.read(target)\n        while False:"),
    ("that two of one hash are not told apart", ROLLOUT, "    if len(found) > 1:\n", "    if False:\n"),
    ("that the server compares", ROLLOUT, '                {"op": "test", "path": "/metadata/resourceVersion"', '                {"op": "test", "path": "/metadata/uid"'),
    ("that a paused one is not rolled back", ROLLOUT, '        if deployment["spec"].get("paused"):\n            raise KubernetesError(\n                f"{target.said} is paused, so a rollback', '        if False:\n            raise KubernetesError(\n                f"{target.said} is paused, so a rollback'),
    ("that Argo CD is asked first", ROLLOUT, "        if owner and not force:\n", "        if False:\n"),
    ("that waiting ends when pods will not come up", ROLLOUT, "(looks >= FAILING_LOOKS or _stuck(deployment, changed))", "_stuck(deployment, changed)"),
    ("that waiting bears a busy server", ROLLOUT, "                if error.status in FINAL:\n", "                if True:\n"),
    ("that another release meanwhile is seen", ROLLOUT, "if changed is not None and bare(", "if False and bare("),
    ("that the release before was stuck is not told of this one", ROLLOUT, "is_observed(deployment) and new and", "is_observed(deployment) and"),
    ("that pods which end hold nobody up", ROLLOUT, 'in FAILING and not pod["terminating"]', "in FAILING"),
    ("that a diff shows no arguments", ROLLOUT, '("name", "image", "ports", "resources") if name in one', "one"),
    ("that ReplicaSets are told by their owner", f"{KUBERNETES}/pods.py", 'owner.get("controller") and owner.get("uid") == uid', "True"),
    ("that init containers tell why", f"{KUBERNETES}/pods.py", '[*(status.get("initContainerStatuses") or []), *containers]', "containers"),
    ("that messages are masked", f"{KUBERNETES}/pods.py", '"message": shown_text(message)', '"message": message'),
    ("that change-causes are masked", f"{KUBERNETES}/pods.py", 'return without_secrets(str(text or ""))[:LONGEST_MESSAGE]', 'return str(text or "")[:LONGEST_MESSAGE]'),
    ("that an odd object ends nothing", f"{KUBERNETES}/workloads.py", "except (KeyError, TypeError, ValueError, AttributeError) as error:", "except ZeroDivisionError as error:"),
    ("that an endless list ends", f"{KUBERNETES}/client.py", "range(MOST_PAGES)", "range(2 * MOST_PAGES)"),
    ("that an endless answer ends", f"{KUBERNETES}/client.py", "            if len(whole) > most:\n", "            if len(whole) > 2 * most:\n"),
    ("that a write without an answer is unknown", f"{KUBERNETES}/client.py", 'if method != "GET" and getattr(error, "sent", False):', "if False:"),
    ("that a server's own trouble after a write is unknown", f"{KUBERNETES}/client.py", 'if method != "GET" and answer.status >= 500:', "if False:"),
    ("that what was refused is not changed", f"{KUBERNETES}/client.py", "            self.wrote = before\n", ""),
    ("that a long log is read from its end", f"{KUBERNETES}/logs.py", "    if first.size < asked.bytes_max:\n", "    if True:\n"),
    ("that each release's log is read", f"{KUBERNETES}/logs.py", "for pod in spread(pods)", "for pod in pods"),
    ("that a controller that nobody knows keeps what it wrote", f"{KUBERNETES}/owners.py", "        or _manager(managers)\n", ""),
    ("that a pull which is tried again ends no waiting", ROLLOUT, "FAILING_LOOKS = 3", "FAILING_LOOKS = 1"),
    ("that a pod belongs by uid", f"{KUBERNETES}/pods.py", 'if release["uid"] == owner.get("uid"):', "if True:"),
    ("that a status is no list", f"{KUBERNETES}/client.py", "            if not isinstance(items, list) and items is not None:\n", "            items = items if isinstance(items, list) else []\n            if False:\n"),
    ("that the first field of a name counts", LINES, "in reversed(LOGFMT.findall(text))", "in LOGFMT.findall(text)"),
    ("that times in a log are masked", LINES, '"<time>"),', '"<n>"),'),
    ("that a token in a log is masked", LINES, "found['key'] or found['header'] or found['element'] or ''", "found[0]"),
    ("that errors are over in each pod", REQUESTS, " and min(expected) >= OVER_IN_EACH", ""),
    ("that errors that are over are none", REQUESTS, "if not path.is_over and (count", "if (count"),
    ("that it may be chance", REQUESTS, "sum(expected) >= OVER and", "sum(expected) >= 0.1 and"),
    ("that one tenant has nearly all failures", USERS, "mine.bad < ALONE_SHARE * known.bad or ", ""),
    ("that one tenant does not ask for most", USERS, " or mine.requests > MOST_REQUESTS_SHARE * known.requests", ""),
    ("that all others are served", USERS, ' and others.ratio <= facts["limits"]["error_ratio_max"]', ""),
    ("that enough of others is known", USERS, 'others.requests >= facts["limits"]["requests_min"] and ', ""),
    ("that most failures say whose they are", USERS, " or known.bad < ALONE_SHARE * _lately(facts, bad)", ""),
    ("that who tries passwords is refused", USERS, " and one.ratio >= TRIED_IN_VAIN", ""),
    ("that few have most of the refusals", USERS, " or theirs.bad < FEW_SHARE * refused", ""),
    ("that few refusals are none", USERS, "refused >= TRIED", "refused >= 1"),
    ("that a path is no shell word", USERS, '"path": path, "quoted": _literal(path), "addresses"', '"path": path, "quoted": path, "addresses"'),
    ("that the database has room", POOLS, "min(limits[\"connections_max\"], own + room[\"more\"]) // number", "limits[\"connections_max\"] // number"),
    ("that the inventory grants it", POOLS, "min(limits[\"connections_max\"], own + room[\"more\"]) // number", "(own + room[\"more\"]) // number"),
    ("that pods are counted while they are replaced", POOLS, " + max(1, math.ceil(SURGE * workload[\"replicas\"]))", ""),
    ("that pods have the size that is there", POOLS, "taken is None or taken.before or ", "taken is None or "),
    ("that without the database's count nothing is offered", POOLS, "    if room is None:\n        return Fit(size, 0, None,", "    if room is None:\n        room = {\"more\": 99, \"sessions\": 99}\n    if False:\n        return Fit(size, 0, None,"),
    ("that a pool grows by steps", POOLS, "min(fits, GROWS * size)", "fits"),
    ("that old lines are none", POOLS, " and ago <= RECENT_SECONDS", ""),
    ("that room is asked of what it depends on", f"{UTILS}/_judgement/verdict.py", 'if system in facts["depends_on"] and ', "if "),
    ("that one that was not read has no room", f"{UTILS}/_judgement/verdict.py", "sorted({*read, *expected})", "sorted(read)"),
    ("that a role's limit counts", CONNECTIONS, "min([free - AS_GOOD_AS_NONE, *left])", "free - AS_GOOD_AS_NONE"),
    ("that nobody knows which database it is", POOLS, "if len(below) == 1 else None", "if below else None"),
    ("that the pools are used up", POOLS, "if not fit.is_used_up:", "if False:"),
    ("that the words are of a database", POOLS, 'return "" if OF_A_DATABASE.search(example) else', 'return "" if True else'),
    ("that others are let in", USERS, " or others.ratio > OTHERS_REFUSED", ""),
    ("that a balancer is nobody", USERS, "if any(is_own_network(name) for name in few):", "if False:"),
    ("that a pause is no end", REQUESTS, 'good <= PAUSES * told["longest_good"] or ', ""),
    ("that one who gave up is no end", REQUESTS, " or _are_of_one(told):", ":"),
    ("that a 4xx is not well", ANALYSER, "is_good = status >= 500, status < 400", "is_good = status >= 500, status < 500"),
    ("that words in a line are no fields", LINES, '    if LOGFMT.sub("", text).strip():\n', "    if False:\n"),
    ("that a hotfix is named by its digest", IMAGES, "if not DIGEST.fullmatch(image):", "if False:"),
    ("that one container of two is named", IMAGES, "if len(found) != 1:", "if not found:"),
    ("that a hotfix is refused where others keep it", IMAGES, "    rollout.refuse(", "    (lambda *_a, **_k: None)("),
    ("that what helped stays", EXECUTOR, "is_in_vain or event", "True or event"),
    ("that what failed half-way is taken back", EXECUTOR, ' or event["status"] == "failed"', ""),
    ("that containers share what is read", f"{KUBERNETES}/logs.py", "self.bytes_max_all // max(1, number)", "self.bytes_max_all"),
    ("that a log with more lines is cut", f"{KUBERNETES}/logs.py", "return first, number >= lines", "return first, False"),
    ("that an overlap is over first", ROTATION, "        if plan.previous in data:\n", "        if False:\n"),
    ("that the application takes the old key", ROTATION, 'if not _takes(deployment["spec"]["template"]["spec"], plan.key.secret, plan.previous):', "if False:"),
    ("that a document is no random text", ROTATION, "if DOCUMENT.match(now):", "if False:"),
    ("that a short key is not accepted any longer", ROTATION, "if len(now) < plan.bytes_min:", "if False:"),
    ("that the two keys are two", ROTATION, "not plan.previous or plan.previous == plan.key.name", "not plan.previous"),
    ("that pods do not sign with the old key", ROTATION, "        if older:\n", "        if False:\n"),
    ("that pods start without the old key", ROTATION, ' and not taken.get("optional")', " and False"),
    ("that what was kept before is dropped", ROTATION, "if overlap or name not in (previous, key.name + BEFORE)", "if True"),
    ("that nobody else takes the key", ROTATION, "        if others:\n", "        if False:\n"),
    ("that an old key is needed until its sessions end", ROTATION, "if age < seconds:", "if False:"),
    ("that a key of unknown age stays", ROTATION, "        if None in ages:\n", "        ages = [one or 9e9 for one in ages]\n        if False:\n"),
    ("that outgoing calls are nobody's requests", LINES, 'not path.startswith("/") or ', ""),
    ("that scanners push nobody out", ANALYSER, "        if status == NOT_FOUND:\n", "        if False:\n"),
    ("that a node's zone is seen", ANALYSER, '    if stamp.endswith("Z"):\n', "    if True:\n"),
    ("that a stream's memory is bounded", ANALYSER, " if len(self.templates) < MOST_TEMPLATES else OTHERS", ""),
    # what is told
    ("the escape in HTML", REPORT, "return html.escape(plain(text, LONGEST))", "return plain(text, LONGEST)"),
    ("the escape in Markdown", REPORT, "escaped = escaped.replace(mark, ", "escaped.replace(mark, "),
    ("the look before a write is repeated", CLIENT, "            found = look()\n", "            found = None\n"),
    ("that what cannot be looked up is sent once", DELIVERY, "if not (one.once and doubts[one.id])]", "]"),
    ("the check of an incident's id", f"{UTILS}/_record/inputs.py", "if not INCIDENT_ID.fullmatch(identity)", "if False"),
    ("that what comes back ends a proof", f"{UTILS}/_record/history.py",
     'event["slot"] == "diagnose" and event["verdict"] != "healthy":', "False:"),
    ("a target that is reached behind it", REACH, "if reached and not (author.lost", "if False and not (author.lost"),
    ("that health lags for minutes only", REACH, "return age is not None and age <= LAG_SECONDS", "return True"),
    ("a target that only lags", REACH, "sure = not reached and", "sure ="),
    ("that a network load balancer says less", REACH, 'all(way.target["reason"] == NO_ANSWER for way in silent)', "True"),
    ("that the rule was shown to be there", REACH, "if author.lost is None or ", "if "),
    ("that all else on the way is open", REACH, " or not plain or", " or"),
    ("the newest change on the way", REACH, 'newest = max(done, key=lambda one: one["at"])', 'newest = min(done, key=lambda one: one["at"])'),
    ("a change that AWS refused", REACH, 'one["name"] in NETWORK and not one["refused"]', 'one["name"] in NETWORK'),
    ("only changes of the network", REACH, 'one["name"] in NETWORK and not', "not"),
    ("only changes on the way", REACH, ' and set(one["touches"]) & concerned]', "]"),
    ("the balancer as the source", REACH, 'lost["source_group"] in sources and ', ""),
    ("a group that each target has", REACH, ' and lost["security_group"] in way.instance["security_groups"]', ""),
    ("the port that was let in", PATHS, 'rule["from_port"] <= port <= rule["to_port"]', "True"),
    ("ways by IPv6", REACH, 'if group["addresses"] != "ipv4":', "if False:"),
    ("open to some, closed to others", REACH, "    if any(closed):\n", "    if False:\n"),
    ("what is not understood", REACH, "if not all(way.is_open() for way in silent):", "if False:"),
    ("an instance that does not run", REACH, ' if way.instance["state"] == "running"', ""),
    ("the health check's own port", REACH, 'else group["health_port"] or target["port"]', 'else target["port"]'),
    ("the port of users' requests", REACH, "elif not all(way.is_open() for way in apart):", "elif False:"),
    ("targets of which nothing is known", REACH, "    if others:\n", "    if False:\n"),
    ("only silent targets", REACH, ' and target["reason"] in (NO_ANSWER, FAILED)', ""),
    ("a target that answers is reached", REACH, ' or target["reason"] == ANSWERED', ""),
    ("groups that nobody named", f"{SYSTEMS}/aws/targets.py", 'confidence if is_known else "possible"', "confidence"),
    ("that some are not healthy", f"{SYSTEMS}/aws/targets.py", "if len(serving) == len(targets):", "if serving:"),
    ("that others serve or fail", INSTANCES, '"possible" if others else "proven"', '"proven"'),
    ("that it is known who stopped it", INSTANCES, 'return "StopInstances" in about and', "return"),
    ("that one may be isolated", INSTANCES, " and not set(about) & ISOLATING", ""),
    ("that all of them can be started", INSTANCES, "targets if len(targets) == len(down) else ()", "targets"),
    ("rules of TCP", PATHS, 'return rule["protocol"] in TCP and', "return"),
    ("all nodes of the balancer", PATHS, "networks and all(any(", "networks and any(any("),
    ("a prefix list", PATHS, ' or any(rule["prefix_list"] for rule in meant)', ""),
    ("some of the addresses", PATHS, '"unknown" if partly or', '"unknown" if'),
    ("rules that were not read", PATHS, 'if any(gap["diagnostic"] == "security groups"', 'if False and any(gap["diagnostic"] == "security groups"'),
    ("the lowest entry decides", PATHS, 'key=lambda one: one["number"])', 'key=lambda one: -one["number"])'),
    ("the answer's ports", PATHS, "(inner, True, EPHEMERAL, nodes,", "(inner, True, (port, port), nodes,"),
    ("one subnet has no ACL between", PATHS, 'if subnet == instance["subnet"]:', "if False:"),
    ("a balancer without groups", PATHS, "    if not own:", "    if False:"),
    ("a rule that is there already", AWS_RULES, "        if self._standing(wanted):\n", "        if False:\n"),
    ("a rule of somebody else is not ours", AWS_RULES, 'if rule["description"] == wanted.description:', "if True:"),
    ("a rule that was changed meanwhile", AWS_RULES, "if not wanted.is_met_by(standing[0]):", "if False:"),
    ("a dry run that would be refused", AWS_RULES, "if dry_run and error.code == WOULD:", "if dry_run:"),
    ("inbound rules only", AWS_RULES, 'not rule["egress"]', "True"),
    ("that a write is not repeated", f"{AWS}/account.py", "return self.call(service, operation, 1, **given)", "return self.call(service, operation, **given)"),
    ("that a duplicate may be ours", AWS_RULES, " or error.code == DUPLICATE", ""),
    ("what AWS says was not there", f"{AWS}/answers.py", 'if _items(answered.get("unknownIpPermissionSet")):', "if False:"),
    ("that a session may be called anything", f"{AWS}/answers.py", 'if identity.get("type") == "AssumedRole" and arn:', "if False:"),
    ("that only a revocation takes away", f"{AWS}/answers.py", ' or one["EventName"] != "RevokeSecurityGroupIngress"', ""),
    ("that a list is whole", f"{AWS}/account.py", "if len(found) > most and whole:", "if False:"),
    ("that CloudTrail is asked beside the rest", f"{AWS}/triage.py", "threading.Thread(target=lambda: answered.put(self._results([question])[0]), daemon=True).start()", "answered.put(self._results([question])[0])"),
    ("one that has ended", TLS, '_seconds(served["at"], one["not_after"]) < 0:', "False:"),
    ("one that has not begun", TLS, '_seconds(served["at"], one["not_before"]) > 0:', "False:"),
    ("one that ends soon", TLS, 'facts["limits"]["days_left_min"] * DAY:', "0.0:"),
    ("one on another server", TLS, 'if served["distrust_code"] in OVER:', "if False:"),
    ("that the handshake compares names", TLS, "not _is_distrusted(served) or any(", "any("),
    ("that a forged one is said, ended or not", TLS, "code in NO_ISSUER or code in SELF_SIGNED", "code in NO_ISSUER"),
    ("a code that nobody here knows", TLS, "elif code not in (*OVER, *OTHER_NAME):", "elif False:"),
    ("the way up from the leaf", TLS, 'if one["issuer"] not in known:', "if False:"),
    ("an international name", TLS, 'name.encode("idna").decode().lower()', "name.lower()"),
    ("a star is one label", TLS, 'wanted.partition(".")[2] == rest', "wanted.endswith(rest)"),
    ("a star stands alone", TLS, '(first == "*" and bool(dot)', '(first == "*"'),
    ("an address is no name", TLS, "if address is not None:", "if False:"),
    ("an endpoint that was not looked at", TLS, 'if served["failure"]:\n', "if False:\n"),
    ("only https has certificates", "plugins/module_utils/_tls/look.py", ' or parts.scheme != "https"', ""),
    ("a write that may have arrived", f"{AWS}/account.py", "if unsent else OutcomeUnknownError", "if True else OutcomeUnknownError"),
]  # fmt: skip
# The tests of a room, so that each mutation costs a second or two; of any other file all are run.
ROOMS = {
    f"{SYSTEMS}/aws": ("test_aws_rules.py",),
    f"{SYSTEMS}/tls": ("test_tls.py",),
    "plugins/module_utils/_tls": ("test_tls.py",),
    AWS: ("test_aws_calls.py",),
    f"{SYSTEMS}/auth": ("test_tokens.py",),
    "plugins/module_utils/_token": ("test_tokens.py",),
    "plugins/module_utils/_probe": ("test_probe.py",),
    f"{SYSTEMS}/kubernetes": ("test_kubernetes_rules.py", "test_features.py", "test_users.py", "test_pools.py"),
    KUBERNETES: (
        "test_rollout.py",
        "test_secret_key.py",
        "test_rotation.py",
        "test_hotfix.py",
        "test_features.py",
        "test_kubernetes_rules.py",
    ),
    "plugins/module_utils/_logs": ("test_logs.py", "test_users.py"),
    SYSTEMS: ("test_rules.py", "test_ranking.py", "test_pools.py"),
    f"{UTILS}/_judgement": ("test_rules.py", "test_ranking.py", "test_kubernetes_rules.py", "test_pools.py"),
    WITHIN: ("test_acts.py",),
    POSTGRESQL: (
        "test_text.py",
        "test_effects.py",
        "test_sql.py",
        "test_plans.py",
        "test_samples.py",
        "test_acts.py",
        "test_backend.py",
        "test_locks.py",
    ),
    f"{UTILS}/_run/plan.py": ("test_plan.py", "test_session.py", "test_procedure.py"),
    f"{UTILS}/_record/history.py": ("test_plan.py", "test_session.py"),
    f"{UTILS}/_run/undo.py": ("test_telling.py",),
    f"{UTILS}/_run/run.py": ("test_session.py", "test_procedure.py"),
    f"{UTILS}/_record/outbox.py": ("test_disclosure.py", "test_telling.py"),
    f"{UTILS}/_record/inputs.py": ("test_words.py", "test_record.py"),
    REPORT: ("test_shown.py",),
    f"{UTILS}/_render/screen.py": ("test_shown.py",),
    f"{UTILS}/_run/dependencies.py": ("test_systems.py",),
    f"{UTILS}/_run/procedure.py": ("test_procedure.py",),
    **dict.fromkeys(
        (f"{UTILS}/_channels/{name}.py" for name in ("channel", "pagerduty", "status_page")), ("test_disclosure.py",)
    ),
    EXECUTOR: ("test_session.py", "test_store.py", "test_procedure.py"),
    NOTIFIER: ("test_telling.py", "test_session.py"),
    DELIVERY: ("test_telling.py", "test_session.py", "test_disclosure.py"),
    STORE: ("test_store.py", "test_record.py"),
    f"{UTILS}/_run/opening.py": ("test_disclosure.py", "test_store.py", "test_session.py", "test_kills.py"),
    f"{UTILS}/_record/lock.py": ("test_record.py",),
    f"{UTILS}/_record/context.py": ("test_session.py", "test_plan.py", "test_store.py"),
    **dict.fromkeys(
        (f"plugins/module_utils/{name}" for name in ("_http", "_no_log.py", "_pagerduty", "_statuspage")),
        ("test_http.py", "test_pagerduty.py", "test_statuspage.py", "test_hostile_answers.py"),
    ),
}
COPIED = (
    "plugins", "roles", "playbooks", "meta", "tests", "docs", "galaxy.yml", "pyproject.toml", "ansible.cfg", "README.md",
    "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "requirements",
)  # fmt: skip


@contextlib.contextmanager
def a_copy() -> t.Iterator[pathlib.Path]:
    """The tree that the unit tests need, in a place of its own."""
    with tempfile.TemporaryDirectory(prefix="sre-runbooks-mutations-") as folder:
        root = pathlib.Path(folder)
        for name in COPIED:
            source = PROJECT / name
            if source.is_dir():
                shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__", "output"))
            else:
                shutil.copy(source, root / name)
        home = root / ".collections" / "ansible_collections" / "sre"
        home.mkdir(parents=True)
        (home / "runbooks").symlink_to(root, target_is_directory=True)
        yield root


def tests_of(file: str) -> list[str]:
    """The tests that must notice a change of a file."""
    found = next((names for start, names in ROOMS.items() if file.startswith(start)), None)
    return [f"tests/unit/{name}" for name in found] if found else ["tests/unit"]


def noticed(root: pathlib.Path, tests: t.Sequence[str]) -> bool:
    """Whether the unit tests fail."""
    command = [sys.executable, "-m", "pytest", *tests, "-x", "-q", "-W", "ignore"]
    names = ("test_no_file_names_a_registry_or_a_machine", "test_every_mutation_still_finds_what_it_takes_away")
    deselected = [f"--deselect=tests/unit/test_house.py::{name}" for name in names]
    return subprocess.run([*command, *deselected], cwd=root, capture_output=True).returncode == 1


def tried(root: pathlib.Path, mutation: tuple[str, str, str, str]) -> bool:
    """Whether one mutation is noticed; the copy is as it was afterwards."""
    what, file, old, new = mutation
    path, started = root / file, time.monotonic()
    original = path.read_text()
    if old not in original:
        raise SystemExit(f"mutations: {file} does not have {old!r}")
    path.write_text(original.replace(old, new))
    good = noticed(root, tests_of(file))
    path.write_text(original)
    print(f"{'noticed' if good else 'MISSED':<8} without {what} ({time.monotonic() - started:.1f} s)", flush=True)
    return good


def main() -> int:
    """Each processor has a copy of its own to take things away from."""
    workers = os.cpu_count() or 1
    with contextlib.ExitStack() as stack:
        free: queue.SimpleQueue[pathlib.Path] = queue.SimpleQueue()
        roots = [stack.enter_context(a_copy()) for _worker in range(workers)]
        if noticed(roots[0], ["tests/unit"]):
            print("mutations: the unit tests fail without any")
            return 1
        for root in roots:
            free.put(root)

        def work(mutation: tuple[str, str, str, str]) -> bool:
            root = free.get()
            try:
                return tried(root, mutation)
            finally:
                free.put(root)

        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            results = list(pool.map(work, MUTATIONS))
    print(f"mutations: {sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
