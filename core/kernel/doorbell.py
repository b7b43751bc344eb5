"""Waking workers. A message says only where to look: what is to be done stands in the database.

So a message that is lost costs time and nothing else, and Redis may be away: the sender never fails and never waits long.
"""

from __future__ import annotations

from functools import partial

import structlog
from celery import current_app
from django.db import transaction
from kombu.exceptions import ChannelError, KombuError
from kombu.pools import connections, producers
from redis import RedisError

_log = structlog.get_logger("atrium.doorbell")

# A request that just committed must not wait for a broker that does not answer.
_IMPATIENT = {"max_retries": 0, "interval_start": 0, "socket_connect_timeout": 1, "socket_timeout": 1}
_PRODUCER_SECONDS = 1


def ring(task: str, *args: str) -> bool:
    """Send the task now; False when the broker could not be reached (logged)."""
    entry = current_app.tasks[task]
    if current_app.conf.task_always_eager:
        entry.apply(args, throw=True)
        return True
    connection = current_app.connection_for_write(transport_options=_IMPATIENT)
    try:
        with producers[connection].acquire(block=True, timeout=_PRODUCER_SECONDS) as producer:
            entry.apply_async(
                args, producer=producer, retry=True, retry_policy={"max_retries": 1, "interval_start": 0}
            )
    except (KombuError, RedisError, OSError) as error:
        _log.warning("doorbell silent", task=task, error=str(error))
        return False
    return True


def count_unread(task: str) -> int:
    """How many messages wait in the task's queue; 0 when there is no telling."""
    if current_app.conf.task_always_eager:
        return 0
    queue = current_app.amqp.router.route({}, task)["queue"].name
    connection = current_app.connection_for_read(transport_options=_IMPATIENT)
    try:
        with connections[connection].acquire(block=True, timeout=_PRODUCER_SECONDS) as link:
            return int(link.default_channel.queue_declare(queue, passive=True).message_count)
    except ChannelError:
        # Nobody has rung since Redis was emptied.
        return 0
    except (KombuError, RedisError, OSError) as error:
        _log.warning("doorbell silent", task=task, error=str(error))
        return 0


def ring_after_commit(task: str, *args: str) -> None:
    """Send the task when the transaction commits; at once when none is open."""
    transaction.on_commit(partial(ring, task, *args))
