"""Gives the users of a cluster their passwords and exactly their rights; needs an administrator's own rights."""

from collections.abc import Iterable, Mapping
from typing import Any

from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    UserScramCredentialUpsertion,
)

from services.kit.cluster import Change, connected
from services.kit.connecting import MECHANISM, Kafka
from services.kit.rights import Right

ITERATIONS = 8192


class NotGrantedError(Exception):
    """The cluster refused to set a password or a right."""


def set_passwords(kafka: Kafka, passwords: Mapping[str, str]) -> list[Change]:
    """Let each user sign in with its password alone; connections that are open stay so."""
    with connected(kafka) as admin:
        new = [UserScramCredentialUpsertion(user, MECHANISM, word, ITERATIONS) for user, word in passwords.items()]
        refused = [user for user, why in admin.alter_user_scram_credentials(new).items() if why]
    if refused:
        raise NotGrantedError(f"it does not let us set the password of {', '.join(refused)}")
    return [Change(user, "password set") for user in passwords]


def grant(kafka: Kafka, rights: Iterable[Right]) -> list[Change]:
    """Give each user of `rights` exactly those: also what else it was allowed, or expressly denied, is taken away."""
    wanted = {_acl(right): right for right in rights}
    users = {f"User:{right.user}" for right in wanted.values()}
    with connected(kafka) as admin:
        actual = {acl for acl in _all(admin) if acl.principal in users}
        extra, missing = actual - wanted.keys(), [acl for acl in wanted if acl not in actual]
        _take(admin, extra)  # first: what fails half-way must not leave anybody with more
        _give(admin, missing)
    return [Change(_name(acl), "taken away") for acl in extra] + [Change(str(wanted[acl]), "given") for acl in missing]


def lacking(kafka: Kafka, rights: Iterable[Right]) -> list[str]:
    """Return, as sentences, what a cluster's rights lack and what its users of `rights` have beyond them."""
    wanted = {_acl(right): right for right in rights}
    users = {f"User:{right.user}" for right in wanted.values()}
    with connected(kafka) as admin:
        actual = {acl for acl in _all(admin) if acl.principal in users}
    return [f"{wanted[acl]}, and the cluster does not let it." for acl in wanted if acl not in actual] + [
        f"The cluster has {_name(acl)}, which nothing declares." for acl in actual - wanted.keys()
    ]


def _acl(right: Right) -> Any:  # noqa: ANN401 - kafka-python has no types
    pattern = ResourcePattern(ResourceType[right.kind.upper()], right.name)
    operation = ACLOperation[right.operation.upper()]
    return ACL(f"User:{right.user}", "*", operation, ACLPermissionType.ALLOW, pattern)


def _all(admin: KafkaAdminClient) -> list[Any]:
    every = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
    found, _ = admin.describe_acls(ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, every))
    return list(found)


def _take(admin: KafkaAdminClient, acls: Iterable[Any]) -> None:
    filters = [
        ACLFilter(
            acl.principal,
            acl.host,
            acl.operation,
            acl.permission_type,
            ResourcePatternFilter(
                acl.resource_pattern.resource_type,
                acl.resource_pattern.resource_name,
                acl.resource_pattern.pattern_type,
            ),
        )
        for acl in acls
    ]
    for _, _, error in admin.delete_acls(filters) if filters else ():
        if error.errno:
            raise NotGrantedError(f"a right could not be taken away: {error.__name__}")


def _give(admin: KafkaAdminClient, acls: list[Any]) -> None:
    if acls and (failed := admin.create_acls(acls)["failed"]):
        raise NotGrantedError(f"{len(failed)} rights could not be given: {failed[0].__name__}")


def _name(acl: Any) -> str:  # noqa: ANN401 - kafka-python has no types
    kind, name = acl.resource_pattern.resource_type.name.lower(), acl.resource_pattern.resource_name
    return f"{acl.principal} {acl.permission_type.name.lower()} {acl.operation.name.lower()} {kind} {name}"
