"""One refresh of python-tuf's client over a directory. Arguments: the client's home, the repository's metadata, a root.

Prints what it trusts afterwards, or what stopped it, as one line of JSON."""

import json
import pathlib
import sys

from tuf.api.exceptions import DownloadHTTPError, RepositoryError
from tuf.ngclient import FetcherInterface, Updater


class Directory(FetcherInterface):
    """Metadata from files instead of a server."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def _fetch(self, url):
        file = self.path / url.rsplit("/", 1)[-1]
        if not file.exists():
            raise DownloadHTTPError(f"{file} is not there", 404)
        yield file.read_bytes()


home, repository, root = (pathlib.Path(argument) for argument in sys.argv[1:4])
home.mkdir(parents=True, exist_ok=True)
updater = Updater(
    metadata_dir=str(home), metadata_base_url="file:///", fetcher=Directory(repository), bootstrap=root.read_bytes()
)
try:
    updater.refresh()
    trusted = updater._trusted_set
    print(json.dumps({name: getattr(trusted, name).version for name in ("root", "timestamp", "snapshot", "targets")}))
except RepositoryError as error:
    print(json.dumps({"error": type(error).__name__, "detail": str(error)}))
