"""Postgres restarted, its connections ended, its connections used up, its rows kept alive by an idle transaction."""

from __future__ import annotations

import signal
import time
from contextlib import ExitStack

import psycopg

from tests.chaos.scenario import Play, scenario

_AWAY = 5.0  # seconds
_TERMINATING = 15.0
_IDLE_CONNECTIONS = 300


@scenario("Postgres killed for 5 s, results in hand", steady=True)
def postgres_restarted(play: Play) -> None:
    """SIGQUIT is its immediate shutdown: no client is told, nothing is flushed, the log is replayed at the start."""
    play.open()
    play.warm_up()
    play.measure_before()
    in_hand = play.load.submit(6, seconds=3, deaf=True, options={"priority": "critical"})
    play.until_state("running", in_hand, 20)
    play.stage.postgres.signal(signal.SIGQUIT)
    play.stage.postgres.wait()
    time.sleep(_AWAY)  # the outage; the urgent jobs end in it
    play.stage.restart_postgres()
    play.until_work_flows()
    play.measure_after()
    play.until_state("completed", in_hand, 60)
    kept = play.stage.count("id = ANY(%s) AND state = 'completed' AND attempt = 1", in_hand)
    play.promise(kept == 6, f"results in hand are written when Postgres is back ({kept} of 6 were)")


@scenario("Postgres connections terminated at 2/s", steady=True)
def connections_terminated(play: Play) -> None:
    play.open()
    play.warm_up()
    play.measure_before()
    ended, began = 0, time.monotonic()
    while time.monotonic() - began < _TERMINATING:
        ended += len(
            play.stage.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'haulway' ORDER BY random() LIMIT 1"
            )
        )
        time.sleep(0.5)
    play.until_work_flows()
    play.measure_after()
    play.promise(ended > 0, "connections were terminated")
    play.note(f"{ended} connections terminated")


@scenario("300 idle connections held", steady=True)
def idle_connections(play: Play) -> None:
    play.open()
    play.warm_up()
    play.measure_before()
    with ExitStack() as held:
        for _ in range(_IDLE_CONNECTIONS):
            held.enter_context(psycopg.connect(play.stage.postgres_url, connect_timeout=5, application_name="idle"))
        play.measure_after()


@scenario("transaction left open and idle", steady=True)
def idle_transaction(play: Play) -> None:
    play.open()
    play.warm_up()
    play.measure_before()
    with psycopg.connect(play.stage.postgres_url, application_name="idle") as holder:
        holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT txid_current(), (SELECT count(*) FROM jobs_job)")
        play.until_completed(500, 60)  # their dead rows cannot be cleaned away meanwhile
        play.measure_after()
        holder.rollback()
