"""A server of S3 on this machine: moto's, on a port of its own of 127.0.0.1."""

import contextlib
import logging
from collections.abc import Iterator

from moto.server import ThreadedMotoServer
from pyarrow.fs import S3FileSystem

KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextlib.contextmanager
def s3() -> Iterator[dict[str, str]]:
    """Run a server with an empty bucket `bucket`; yield the environment that leads to it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        files = S3FileSystem(
            access_key=KEYS["AWS_ACCESS_KEY_ID"],
            secret_key=KEYS["AWS_SECRET_ACCESS_KEY"],
            endpoint_override=f"{host}:{port}",
            scheme="http",
            region=KEYS["AWS_DEFAULT_REGION"],
            allow_bucket_creation=True,
        )
        files.create_dir("bucket")
        yield {**KEYS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    finally:
        server.stop()
