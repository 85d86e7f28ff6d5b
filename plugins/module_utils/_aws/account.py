# Copyright (c) 2026, the sre.runbooks contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls to one AWS account in one region, as AWS's own configuration reaches it (private to the collection).

Source: https://docs.aws.amazon.com/boto3/latest/reference/services/
"""

from __future__ import annotations

import dataclasses
import threading
import traceback
import typing as t

from ansible_collections.sre.runbooks.plugins.module_utils._spec import Spec

AWS_IMPORT_ERROR: str | None
try:
    import boto3
    import botocore.config
    import botocore.exceptions
except ImportError:
    AWS_IMPORT_ERROR = traceback.format_exc()
else:
    AWS_IMPORT_ERROR = None

Json = dict[str, t.Any]
ClientFor = t.Callable[[str, int], t.Any]
# More than any look can judge; an endless list ends here.
MOST_ITEMS = 5000
TRIES = 3
LONGEST_MESSAGE = 300
REFUSED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
UNKNOWN_KEY = {"InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure", "SignatureDoesNotMatch"}
THROTTLED = {"Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"}
# What IAM calls a service where botocore calls it otherwise.
IAM_NAMES = {"elbv2": "elasticloadbalancing"}


class AwsError(Exception):
    """What was asked was not done; the message names the account's region, the action and the way out. ``code``: AWS's own word
    for it, empty where no answer came."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class OutcomeUnknownError(AwsError):
    """A write was sent and no answer came, so nobody knows whether it was done."""


@dataclasses.dataclass(frozen=True)
class Access:
    """How the account is reached: AWS's own configuration, unless keys are given. ``account``: the number that it must have."""

    region: str | None = None
    profile: str | None = None
    access_key: str | None = None
    secret_key: str | None = dataclasses.field(default=None, repr=False)
    session_token: str | None = dataclasses.field(default=None, repr=False)
    endpoint_url: str | None = None
    account: str | None = None
    timeout: float = 5.0


def argument_spec() -> Spec:
    return {
        "region": {"type": "str"},
        "profile": {"type": "str"},
        "access_key": {"type": "str", "no_log": False},
        "secret_key": {"type": "str", "no_log": True},
        "session_token": {"type": "str", "no_log": True},
        "endpoint_url": {"type": "str"},
        "account": {"type": "str"},
        "timeout": {"type": "float", "default": 5.0},
    }


def access_from(params: t.Mapping[str, t.Any]) -> Access:
    """What a module was given; an empty text is as good as none."""
    return Access(**{field.name: params[field.name] or None for field in dataclasses.fields(Access) if field.name != "timeout"},
                  timeout=params["timeout"])  # fmt: skip


def clients(access: Access) -> tuple[str, ClientFor]:
    """The region, and what makes a client of a service that tries so many times. Raises AwsError for a profile or region that is
    none, and where there are no credentials."""
    try:
        session = boto3.Session(
            aws_access_key_id=access.access_key, aws_secret_access_key=access.secret_key,
            aws_session_token=access.session_token, region_name=access.region, profile_name=access.profile,
        )  # fmt: skip
        credentials = session.get_credentials()
    except botocore.exceptions.BotoCoreError as error:
        raise AwsError(f"AWS: {error}") from error
    if credentials is None:
        raise AwsError("AWS: no credentials: set runbooks_aws_profile, or log in (aws sso login)")
    if not session.region_name:
        raise AwsError("AWS: no region is set: runbooks_aws_region, or region in the profile")

    def client_for(service: str, tries: int) -> t.Any:
        config = botocore.config.Config(
            connect_timeout=access.timeout, read_timeout=access.timeout, retries={"mode": "standard", "total_max_attempts": tries}
        )
        return session.client(service, endpoint_url=access.endpoint_url, config=config)

    return session.region_name, client_for


class Account:
    """Calls to one account in one region. Clients are made once, one after the other: a session is for one thread at a time."""

    def __init__(self, region: str, client_for: ClientFor) -> None:
        self.region, self._client_for = region, client_for
        self._clients: dict[tuple[str, int], t.Any] = {}
        self._lock = threading.Lock()

    def _client(self, service: str, tries: int = TRIES) -> t.Any:
        with self._lock:
            if (service, tries) not in self._clients:
                self._clients[service, tries] = self._client_for(service, tries)
            return self._clients[service, tries]

    def write(self, service: str, operation: str, **given: t.Any) -> Json:
        """The same as ``call``, and never repeated: what may have been done is looked for. Raises AwsError."""
        return self.call(service, operation, 1, **given)

    def call(self, service: str, operation: str, tries: int = TRIES, **given: t.Any) -> Json:
        """One answer, ``operation`` as boto3 names it. Raises AwsError."""
        try:
            return t.cast("Json", getattr(self._client(service, tries), operation)(**given))
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            raise self._told(service, operation, error) from error

    def pages(
        self, service: str, operation: str, key: str, most: int = MOST_ITEMS, *, whole: bool = True, **given: t.Any
    ) -> list[Json]:
        """What all pages of an answer list under ``key``. Raises AwsError, also where there is more, unless not all is wanted."""
        try:
            pages = self._client(service).get_paginator(operation).paginate(**given)
            found: list[Json] = []
            for page in pages:
                found += page[key]
                if len(found) > most:
                    break
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
            raise self._told(service, operation, error) from error
        if len(found) > most and whole:
            raise AwsError(f"AWS {self.region}: {operation} lists more than {most}, which cannot be judged")
        return found[:most]

    def _told(self, service: str, operation: str, error: Exception) -> AwsError:
        action = f"{IAM_NAMES.get(service, service)}:{''.join(part.capitalize() for part in operation.split('_'))}"
        where = f"AWS {self.region}, {action}"
        if isinstance(error, botocore.exceptions.ClientError):
            said = error.response.get("Error", {})
            code = str(said.get("Code", ""))
            return AwsError(f"{where}: {_way_out(code, action)}{str(said.get('Message', ''))[:LONGEST_MESSAGE]} ({code})", code)
        unsent = isinstance(error, (botocore.exceptions.EndpointConnectionError, botocore.exceptions.ConnectTimeoutError))
        text = " ".join(str(error).split())[:LONGEST_MESSAGE]
        return AwsError(f"{where}: {text}") if unsent else OutcomeUnknownError(f"{where}: {text}")


def _way_out(code: str, action: str) -> str:
    if code in REFUSED:
        return f"not allowed; the role of the runbooks needs {action}: "
    if code in EXPIRED:
        return "the credentials have expired; log in again (aws sso login): "
    if code in UNKNOWN_KEY:
        return "the credentials are none of this account: "
    if code in THROTTLED:
        return f"throttled {TRIES} times; others ask too: "
    return ""


def connect(access: Access) -> Account:
    """The account, if it is the one that was meant. Raises AwsError."""
    account = Account(*clients(access))
    if access.account:
        number = account.call("sts", "get_caller_identity")["Account"]
        if number != access.account:
            raise AwsError(f"AWS {account.region}: these credentials are of account {number}, and {access.account} is meant")
    return account
