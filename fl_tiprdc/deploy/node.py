"""A client's SuperNode with a client process that stays.

fl-tiprdc deploy node --superlink HOST:PORT --root-certificates ca.pem --node-config '…'

Takes the flags of flower-supernode, and does the same. Flower's own starts a process for each message, which imports
torch, Flower and this project anew: seconds of work for each message. Here they are imported once. Each message is
still answered by a process of its own, but it is forked from one that has them. Flower offers client processes that
others start (`--isolation process`), and this is one.
"""

import argparse
import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import NoReturn

from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.address import resolve_bind_address
from flwr.supercore.constant import SUPERNODE_UVICORN_DEFAULT_PORT, UVICORN_DEFAULT_HOST, TaskType
from flwr.supercore.interceptors import RuntimeVersionHttpInterceptor
from flwr.supercore.retry import make_simple_http_retry_invoker
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.tls import validate_and_resolve_root_certificates
from flwr.supercore.utils import disable_process_dumping
from flwr.supernode.cli import flower_supernode
from flwr.supernode.runtime.run_clientapp import run_clientapp

import fl_tiprdc.flower.client  # noqa: F401  (forked processes have it)
from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.deploy.patched_supernode import patch_supernode
from fl_tiprdc.errors import InputError, RunFailedError

REFUSED = (
    "the node ended before the server had let it in; if nobody ended it: is its key the one registered, and its clock "
    "right? It may be five minutes slow and five seconds fast"
)
TOLD = ("--help", "-h", "--version", "-V")  # Flower answers these, and no node is started
OURS = ("--isolation", "--superexec-auth-secret-file")  # decided here


def in_a_fork(work: Callable[[], None]) -> int:
    """Start `work` in a forked process, which ends with it; its id."""
    sys.stdout.flush()
    sys.stderr.flush()
    if child := os.fork():
        return child
    status = 1
    try:
        work()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        pass
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # what this process has inherited, its parent tidies up


def answer_messages(address: str, authority: str | None, secure: bool, told: int, node: int) -> None:
    """Answer a node's messages, each in a forked process, until the node ends.

    Args:
        address: of the node's Runtime API.
        authority: file of certificates by which the node's is known; None: the system's.
        secure: whether the node has one.
        told: end of a pipe that has bytes when there may be a message, and that the node's end closes.
        node: its process id.
    """
    disable_process_dumping(strict=False)  # as flower-superexec: it knows tokens
    certificates = validate_and_resolve_root_certificates(authority, not secure)
    client = RuntimeHttpClient.from_server_address(
        server_address=address,
        insecure=not secure,
        root_certificates=certificates,
        interceptors=[RuntimeVersionHttpInterceptor(component_name="SuperExec")],
        retry_invoker=make_simple_http_retry_invoker(),
    )
    while os.read(told, 4096):
        task = client.AcquireTask(AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP]))
        if task.HasField("task") and task.token:
            answer = partial(run_clientapp, address, task.token, not secure, certificates, node)
            os.waitpid(in_a_fork(answer), 0)


def run_node(arguments: Sequence[str]) -> NoReturn:
    """Start the client process, and be the SuperNode.

    Raises:
        InputError: flags that are decided here, or an unknown version of Flower.
        RunFailedError: the server doesn't let the node in.
    """
    if any(argument in TOLD for argument in arguments):
        sys.argv = ["flower-supernode", *arguments]
        flower_supernode()
        sys.exit()
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name, default in (("host", UVICORN_DEFAULT_HOST), ("ssl-certfile", None), ("ssl-ca-certfile", None)):
        parser.add_argument(f"--{name}", default=default)
    parser.add_argument("--port", default=str(SUPERNODE_UVICORN_DEFAULT_PORT))
    for flag in OURS:
        if any(argument.split("=")[0] == flag for argument in arguments):
            raise InputError(f"{flag} isn't for this node, which starts its client process itself")
    own = parser.parse_known_args(arguments)[0]
    address = resolve_bind_address(f"[{own.host}]:{own.port}" if ":" in own.host else f"{own.host}:{own.port}")
    told, tell = os.pipe()
    node = os.getpid()

    def client() -> None:
        os.close(tell)
        answer_messages(address, own.ssl_ca_certfile, own.ssl_certfile is not None, told, node)

    def work() -> None:
        try:
            os.write(tell, b".")
        except BlockingIOError:
            pass  # it hasn't read the last ones
        except BrokenPipeError:
            print("the client process has ended", file=sys.stderr, flush=True)
            signal.raise_signal(signal.SIGTERM)

    waits = patch_supernode(work)
    gc.freeze()  # forked processes share this memory
    in_a_fork(client)
    os.close(told)
    os.set_blocking(tell, False)
    sys.argv = ["flower-supernode", *arguments, "--isolation", "process"]
    try:
        flower_supernode()
    except SystemExit as end:
        if end.code or waits.begun:
            raise
        # Flower says nothing and ends with 0 when the server answers "unauthorized"
        raise RunFailedError(REFUSED) from None
    sys.exit()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a node."""
    run_node(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    guard(main)
