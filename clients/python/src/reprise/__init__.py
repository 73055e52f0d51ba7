"""Client of Reprise: webhooks start Claude runs that remember.

    from reprise import connect

    with connect() as api:
        fired = api.fire("github-demo", sample="issue_comment")
        for entry in api.watch(fired.run.id):
            print(entry.text.text)

`reprise.v1` holds the messages and enums, `reprise.errors` what is raised when an rpc fails.
"""

from reprise import errors, v1
from reprise._client import Client, connect
from reprise._watch import Watch
from reprise.errors import RepriseError

__all__ = ["Client", "RepriseError", "Watch", "connect", "errors", "v1"]
__version__ = "0.1.0"
