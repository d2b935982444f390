"""The worker as RQ lists it (``rq info``): a name with a short life, renewed at every heartbeat."""

from redis import Redis
from rq import worker_registration
from rq.serializers import JSONSerializer
from rq.worker import BaseWorker, WorkerStatus

from newtond import __version__
from newtond.store.queue import QUEUES, SolveJob, SolveQueue


class RegisteredWorker(BaseWorker):
    """RQ's registration without its loop: jobs are forked, leased and ended by ``worker.main``.

    No pub/sub: RQ's remote commands (stop, kill, shut down) are not obeyed.
    """

    job_class = SolveJob
    queue_class = SolveQueue

    def __init__(self, name: str, connection: Redis, ttl: int) -> None:
        super().__init__(QUEUES, name=name, connection=connection, worker_ttl=ttl, serializer=JSONSerializer)
        for queue in self.queues:
            worker_registration.clean_worker_registry(queue)
        self.register_birth()  # type: ignore[no-untyped-call]

    def _set_connection(self, connection: Redis) -> Redis:
        return connection  # RQ would raise the socket timeout to suit waits that are not made here

    def beat(self, busy: bool) -> None:
        """Stay registered, also in a Redis that was wiped."""
        state = WorkerStatus.BUSY if busy else WorkerStatus.IDLE
        with self.connection.pipeline() as pipeline:
            mapping = {**self.serialize(), "state": state.value, "newtond": __version__}
            pipeline.hset(self.key, mapping=mapping)
            pipeline.expire(self.key, self.worker_ttl)
            worker_registration.register(self, pipeline)
            pipeline.execute()
