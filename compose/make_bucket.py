"""Makes the bucket of `MODELSYNC_ARTIFACTS` on the S3 server of docker-compose.yml, unless it is
there already.
"""

from urllib.parse import urlsplit

from pyarrow.fs import FileType, S3FileSystem

from modelsync import settings
from modelsync.store.bucket import parse_root

store = settings.load().store
endpoint = urlsplit(store.s3_endpoint)
bucket = parse_root(store.artifacts).partition("/")[0]
system = S3FileSystem(
    access_key=store.s3_access_key.read(),
    secret_key=store.s3_secret_key.read(),
    region=store.s3_region or "us-east-1",
    scheme=endpoint.scheme,
    endpoint_override=endpoint.netloc,
    allow_bucket_creation=True,
)
if system.get_file_info(bucket).type == FileType.NotFound:
    system.create_dir(bucket)
