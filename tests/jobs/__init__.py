"""The tests of jobs: what must always hold, what goes wrong, and where each is tested.

Paths are below `tests/`.

| | what must hold | test |
|---|---|---|
| 1 | each row takes effect once, or is one error: applied + errors = total | `chaos/test_csv.py`, `chaos/test_crash_points.py`, `jobs/test_machine.py`, `jobs/test_own_work.py` |
| 2 | cursor and counters equal the committed rows at every moment | `jobs/test_machine.py` (after every rule) |
| 3 | no commit by a stale epoch; one open batch a job | `jobs/test_execute.py` (…lease_was_taken…), `chaos/test_workers.py` (…stood_still…) |
| 4 | `seq` rises in the row, and followers never see it fall | `jobs/test_machine.py`, `jobs/test_progress.py`, `jobs/test_following.py` |
| 5 | every accepted job ends while one worker lives, Redis wiped or not | `jobs/test_queues.py`, `chaos/test_workers.py` |
| 6 | no job without a row, none of a request that was rolled back | `jobs/test_submit.py`, `jobs/test_own_work.py`, `chaos/test_crash_points.py` |
| 7 | after a cancel has returned nothing more is written | `jobs/test_cancelling.py`, `jobs/test_machine.py` |
| 8 | followers see the end within the poll interval | `jobs/test_following.py`, `jobs/test_progress.py` |
| 9 | a queue or channel layer that fails changes no job | `jobs/test_observer.py`, `jobs/test_following.py` |
| 10 | a killed worker is replaced within lease and sweep | `chaos/test_workers.py` (…within_lease_and_sweep; …by_default, in the long form) |
| 11 | one job for one key, however many posts | `jobs/test_submission.py` |
| 12 | memory is flat in the number of rows | `test_upload_memory.py`, `benchmarks/jobs*.py` |
| 13 | other requests stay quick beside an embedded job | `benchmarks/jobs*.py` |
| 14 | the table equals that of one clean run | `chaos/` (each test; files: `chaos/test_csv.py`), `jobs/test_machine.py` |

| | what goes wrong | test |
|---|---|---|
| F1 | kill -9 at every named point | `chaos/test_crash_points.py` |
| F2 | kill -9 at random moments, three workers | `chaos/test_workers.py`, `chaos/test_csv.py` (real files) |
| F3 | a stopped process wakes after its lease, in a transaction or not | `chaos/test_workers.py` (…stood_still…) |
| F4 | SIGTERM ten times in one job | `chaos/test_workers.py` (…being_stopped…), `chaos/test_redis.py` (deploys), `jobs/test_poison.py` (deploys) |
| F5 | a batch longer than its lease, a blocked loop | `jobs/test_leases.py`, `chaos/test_workers.py` (…blocked…) |
| F6, F7 | Redis restarted empty, or away | `jobs/test_queues.py`, `chaos/test_redis.py` |
| F8 | connections that are slow, cut or dead | `chaos/test_postgresql.py` (proxy), `jobs/test_accepted.py` (…hanging…), `chaos/test_redis.py` (…no_word…, in the long form) |
| F9 | PostgreSQL restarted, backends ended, COMMIT unanswered | `chaos/test_postgresql.py`, `jobs/test_poison.py` (…away_for_a_moment…) |
| F10, F11 | messages doubled, late or lost | `jobs/test_queues.py`, `jobs/test_execute.py` |
| F12 | clocks an hour apart | `chaos/test_workers.py` (…clocks…) |
| F13 | progress lost, doubled, reordered | `jobs/test_following.py`, `jobs/test_progress.py` |
| F14, F15 | slow sockets; group membership lost | `test_websocket.py`, `jobs/test_following.py` |
| F16 | rows that raise, exit, or take all memory | `jobs/test_poison.py`, `jobs/test_deadly_rows.py` |
| F17 | SQLite with several processes | `chaos/test_workers.py` (on SQLite), `chaos/test_servers.py` (two that serve) |
| F18 | the input changed or cut short | `jobs/test_inputs.py`, `jobs/test_accepted.py` (a storage that is full, or was changed) |
| F19 | cancel, retry, takeover and end in any order | `jobs/test_machine.py` |
| F20 | rows of another version of the code, unknown kinds | `jobs/test_fingerprint.py`, `jobs/test_execute.py` |
| F21 | the serving process ends with an embedded job | `chaos/test_servers.py` (gunicorn, daphne, hypercorn, uvicorn with two processes, runserver), `jobs/test_queues.py`, `test_asgi.py` |
| F22 | parts of one job at once | there are none: one slice of a job at a time |
| F23 | a million rows with F2, F6 and F9 at once | `make chaos` |
"""  # noqa: E501 - a table
