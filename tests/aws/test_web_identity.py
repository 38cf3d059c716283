"""AssumeRoleWithWebIdentity: the role's trust policy and the issuer's signature decide, with STS's codes."""

from __future__ import annotations

import time
import uuid

import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.servers.aws.oidc import REFETCH_PAUSE
from sandbox.servers.certificates import Authority
from tests.aws.fixtures import Cloud, allow
from tests.aws.issuer import Issuer

SUBJECT = "system:serviceaccount:production:app"


def refused(cloud: Cloud, role: str, token: str) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        cloud.assume(role, token)
    error = caught.value.response["Error"]
    assert token not in str(caught.value)
    return error["Code"], error["Message"]


def test_the_named_service_account_gets_a_session_of_the_role(cloud: Cloud) -> None:
    role = cloud.role()
    session = cloud.assume(role, cloud.issuer.token(SUBJECT))
    arn = session.client("sts").get_caller_identity()["Arn"]
    assert arn == f"arn:aws:sts::123456789012:assumed-role/{role.rpartition('/')[2]}/test"


@pytest.mark.parametrize("subject", ["system:serviceaccount:staging:app", "system:serviceaccount:production:other"])
def test_another_namespace_or_account_is_refused(cloud: Cloud, subject: str) -> None:
    expected = ("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
    assert refused(cloud, cloud.role(), cloud.issuer.token(subject)) == expected


def test_another_audience_is_refused(cloud: Cloud) -> None:
    token = cloud.issuer.token(SUBJECT, audience="vault")
    assert refused(cloud, cloud.role(), token) == ("InvalidIdentityToken", "Incorrect token audience")


def test_an_audience_that_is_registered_but_not_in_the_trust_policy_is_refused(cloud: Cloud) -> None:
    arn = cloud.provider()
    iam = cloud.admin.client("iam")
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="other")
    try:
        code, _ = refused(cloud, cloud.role(), cloud.issuer.token(SUBJECT, audience="other"))
    finally:
        iam.remove_client_id_from_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="other")
    assert code == "AccessDenied"


def test_an_expired_token_is_refused(cloud: Cloud) -> None:
    code, message = refused(cloud, cloud.role(), cloud.issuer.token(SUBJECT, lifetime=-5))
    assert code == "ExpiredTokenException"
    assert message.startswith("Token expired: current date/time")


def test_a_signature_by_another_key_is_refused(cloud: Cloud) -> None:
    token = cloud.issuer.token(SUBJECT, key=rsa.generate_private_key(65537, 2048))
    code, message = refused(cloud, cloud.role(), token)
    assert code == "InvalidIdentityToken"
    assert "signature" in message


def test_an_unsigned_token_is_refused(cloud: Cloud) -> None:
    import jwt

    claims = jwt.decode(cloud.issuer.token(SUBJECT), options={"verify_signature": False})
    code, _ = refused(cloud, cloud.role(), jwt.encode(claims, key=None, algorithm="none"))
    assert code == "InvalidIdentityToken"


def test_an_issuer_that_nobody_registered_is_refused(cloud: Cloud, tmp_path: object) -> None:
    token = cloud.issuer.token(SUBJECT, issuer="https://127.0.0.1:1")
    expected = ("InvalidIdentityToken", "No OpenIDConnect provider found in your account for https://127.0.0.1:1")
    assert refused(cloud, cloud.role(), token) == expected


def test_no_token_at_all_is_refused(cloud: Cloud) -> None:
    code, message = refused(cloud, cloud.role(), "this-is-no-token")
    assert code == "InvalidIdentityToken"
    assert "not a valid JWT" in message


def test_an_issuer_with_another_authority_or_in_trouble_is_a_communication_error(
    cloud: Cloud, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = Authority(tmp_path_factory.mktemp("stranger"))
    stranger.load()
    other = Issuer(stranger)
    iam = cloud.admin.client("iam")
    arn = iam.create_open_id_connect_provider(Url=other.url, ClientIDList=["sts.amazonaws.com"])
    try:
        code, message = refused(cloud, cloud.role(), other.token(SUBJECT))
        assert code == "IDPCommunicationError"
        assert "CERTIFICATE_VERIFY_FAILED" in message
    finally:
        iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn["OpenIDConnectProviderArn"])
        other.close()


def test_a_renewed_signing_key_is_found(cloud: Cloud) -> None:
    role = cloud.role()
    cloud.assume(role, cloud.issuer.token(SUBJECT))
    before = cloud.issuer.key, cloud.issuer.key_id
    cloud.issuer.key, cloud.issuer.key_id = rsa.generate_private_key(65537, 2048), uuid.uuid4().hex
    try:
        time.sleep(REFETCH_PAUSE + 0.1)
        cloud.assume(role, cloud.issuer.token(SUBJECT))
    finally:
        cloud.issuer.key, cloud.issuer.key_id = before
        time.sleep(REFETCH_PAUSE + 0.1)


def test_a_role_that_does_not_exist_is_refused_as_one_that_does_not_trust(cloud: Cloud) -> None:
    cloud.provider()
    code, _ = refused(cloud, "arn:aws:iam::123456789012:role/nobody", cloud.issuer.token(SUBJECT))
    assert code == "AccessDenied"


def test_a_session_ends_with_its_role(cloud: Cloud) -> None:
    role = cloud.role(allow("secretsmanager:ListSecrets"))
    session = cloud.assume(role, cloud.issuer.token(SUBJECT))
    session.client("secretsmanager").list_secrets()
    iam, name = cloud.admin.client("iam"), role.rpartition("/")[2]
    iam.delete_role_policy(RoleName=name, PolicyName="it")
    iam.delete_role(RoleName=name)
    with pytest.raises(ClientError, match="UnrecognizedClientException"):
        session.client("secretsmanager").list_secrets()


def test_a_session_is_no_longer_than_the_role_allows(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="MaxSessionDuration"):
        cloud.anonymous("sts").assume_role_with_web_identity(
            RoleArn=cloud.role(),
            RoleSessionName="test",
            WebIdentityToken=cloud.issuer.token(SUBJECT),
            DurationSeconds=7200,
        )


def test_a_wildcard_subject_needs_string_like(cloud: Cloud) -> None:
    provider, host = cloud.provider(), cloud.issuer.host
    pattern = {f"{host}:sub": "system:serviceaccount:production:*"}
    trust = {"Effect": "Allow", "Principal": {"Federated": provider}, "Action": "sts:AssumeRoleWithWebIdentity"}
    exact = cloud.trusting({**trust, "Condition": {"StringEquals": pattern}})
    wide = cloud.trusting({**trust, "Condition": {"StringLike": pattern}})
    assert refused(cloud, exact, cloud.issuer.token(SUBJECT))[0] == "AccessDenied"
    cloud.assume(wide, cloud.issuer.token(SUBJECT))
    assert refused(cloud, wide, cloud.issuer.token("system:serviceaccount:staging:app"))[0] == "AccessDenied"
