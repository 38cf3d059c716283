"""The commands ``python -m gitops sealed ...`` and ``python -m gitops sops ...``.

Exit codes: 0 done, 1 found or refused, 2 usage.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from components.sealing import Scope, SealingError, fingerprint, load_certificate
from components.sops.decrypt import SopsError
from gitops import manifests
from gitops.errors import ControllerError, GitOpsError
from gitops.sealed import backup as backups
from gitops.sealed.cluster import Controller
from gitops.sealed.seal import opens_with, reencrypt, seal_manifest, sealed_values, to_yaml
from gitops.sops import files as sops_files
from gitops.sops import rules as sops_rules
from gitops.writing import write


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options) or 0)
    except (GitOpsError, SealingError, SopsError) as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename or 'file'}: {error.strerror or error}", file=sys.stderr)
    return 1


def _controller(options: argparse.Namespace) -> Controller:
    return Controller(options.controller_namespace, options.controller_name, options.controller_url or None)


def _fetch_cert(options: argparse.Namespace) -> int:
    pem = _controller(options).certificate()
    certificate = load_certificate(pem)
    if options.output is None:
        sys.stdout.write(pem)
    else:
        write(options.output, pem)
        print(
            f"{options.output}: key {fingerprint(certificate)[:16]}, until {certificate.not_valid_after_utc:%Y-%m-%d}"
        )
    return 0


def _seal(options: argparse.Namespace) -> int:
    certificate = load_certificate(options.cert.read_bytes())
    raw = sys.stdin.buffer.read() if options.file is None else options.file.read_bytes()
    try:
        secrets = [item for item in yaml.load_all(raw.decode("utf-8-sig"), manifests.ManifestLoader) if item]
    except (yaml.YAMLError, ValueError):  # they quote the text
        raise GitOpsError("the Secret manifest is not YAML; its text is not shown, as it may hold values") from None
    scope = Scope(options.scope) if options.scope else None
    sealed = "---\n".join(to_yaml(seal_manifest(item, certificate, scope, options.namespace)) for item in secrets)
    if not sealed:
        raise GitOpsError("nothing to seal: expected a v1 Secret manifest in the file or on standard input")
    if options.output is None:
        sys.stdout.write(sealed)
    else:
        write(options.output, sealed)
    return 0


def _verify(options: argparse.Namespace) -> int:
    documents = manifests.sealed_documents(options.paths)
    if (options.backup is None) != (options.identity is None):
        raise GitOpsError("--backup, --identity: give both, or none to ask the controller")
    if options.backup is not None:
        keys = backups.private_keys(backups.read(options.backup, options.identity))
        failed = [document for document in documents if not opens_with(document, keys)]
    else:
        controller = _controller(options)
        failed = [document for document in documents if not _opens(controller, document)]
    for document in failed:
        print(f"{document.path}: {document.namespace}/{document.name} does not open")
    print(f"{len(documents) - len(failed)} of {len(documents)} sealed secrets open")
    return 1 if failed else 0


def _opens(controller: Controller, document: manifests.Document) -> bool:
    try:
        return bool(sealed_values(document)) and controller.opens(document.content)
    except ControllerError as error:
        raise ControllerError(f"{document.where}: {error}") from error


def _plain_check(options: argparse.Namespace) -> int:
    print(f"{len(manifests.sealed_documents(options.paths))} sealed secrets, and no plaintext Secret manifest")
    return 0


def _reencrypt(options: argparse.Namespace) -> int:
    for path in reencrypt(options.paths, _controller(options)):
        print(path)
    return 0


def _backup(options: argparse.Namespace) -> int:
    names = backups.backup(options.file, options.recipient, options.controller_namespace)
    print(
        f"{options.file}: sealing keys: {len(names)}, recipients that they are encrypted to: {len(options.recipient)}"
    )
    return 0


def _backup_check(options: argparse.Namespace) -> int:
    missing = backups.stale(options.file, options.controller_namespace)
    for name in missing:
        print(f"{options.file}: sealing key {name} is not in the backup")
    return 1 if missing else 0


def _restore(options: argparse.Namespace) -> int:
    names = backups.restore(options.file, options.identity)
    print(f"sealing keys restored: {len(names)}; restart the controller, which reads keys at its start")
    return 0


def _sops_init(options: argparse.Namespace) -> int:
    recipients: dict[str, list[str]] = {}
    for item in options.recipient:
        environment, separator, key = item.partition("=")
        if not separator:
            raise GitOpsError(f"--recipient: expected ENVIRONMENT=KEY, got {item!r}")
        recipients.setdefault(environment, []).append(key)
    print(sops_files.init(options.root, recipients, options.folder))
    return 0


def _sops_check(options: argparse.Namespace) -> int:
    paths = options.files or sorted(
        path for path in options.root.rglob("*") if path.is_file() and ".git" not in path.parts
    )
    found = sops_rules.check(options.root.resolve(), [path.parent.resolve() / path.name for path in paths])
    for finding in found:
        print(finding)
    return 1 if found else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gitops", description="Encrypted files in a repository.")
    areas = parser.add_subparsers(required=True, metavar="sealed|sops")
    _sealed_commands(areas.add_parser("sealed", help="Sealed Secrets"))
    _sops_commands(areas.add_parser("sops", help="SOPS"))
    return parser


def _sealed_commands(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--controller-namespace", default="kube-system")
    parser.add_argument("--controller-name", default="sealed-secrets-controller")
    parser.add_argument(
        "--controller-url",
        default=os.environ.get("SEALED_SECRETS_URL"),
        help="reach the controller here instead of through the cluster (default: $SEALED_SECRETS_URL)",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    fetch = commands.add_parser("fetch-cert", help="fetch the sealing certificate, which is safe to commit")
    fetch.add_argument("--output", type=Path)
    fetch.set_defaults(run=_fetch_cert)
    seal = commands.add_parser("seal", help="seal a Secret manifest offline")
    seal.add_argument("file", type=Path, nargs="?", help="the manifest; standard input where it is left out")
    seal.add_argument("--cert", type=Path, required=True)
    seal.add_argument("--scope", choices=[scope.value for scope in Scope])
    seal.add_argument("--namespace")
    seal.add_argument("--output", type=Path)
    seal.set_defaults(run=_seal)
    verify = commands.add_parser("verify", help="check that every sealed file opens, and that none is in clear")
    verify.add_argument("paths", type=Path, nargs="+")
    verify.add_argument("--backup", type=Path, help="check against a backup's keys instead of the controller")
    verify.add_argument("--identity", type=Path)
    verify.set_defaults(run=_verify)
    plain = commands.add_parser("check", help="find plaintext Secret manifests, without a cluster (a pre-commit hook)")
    plain.add_argument("paths", type=Path, nargs="+")
    plain.set_defaults(run=_plain_check)
    renew = commands.add_parser("re-encrypt", help="bring every sealed file under the newest key")
    renew.add_argument("paths", type=Path, nargs="+")
    renew.set_defaults(run=_reencrypt)
    backup = commands.add_parser("backup", help="back the sealing keys up, encrypted with age")
    backup.add_argument("file", type=Path)
    backup.add_argument("--recipient", action="append", required=True, help="age1..., repeatable")
    backup.set_defaults(run=_backup)
    fresh = commands.add_parser("backup-check", help="exit 1 where the cluster has a key that the backup does not hold")
    fresh.add_argument("file", type=Path)
    fresh.set_defaults(run=_backup_check)
    restore = commands.add_parser("restore", help="put the keys of a backup into the cluster")
    restore.add_argument("file", type=Path)
    restore.add_argument("--identity", type=Path, required=True)
    restore.set_defaults(run=_restore)


def _sops_commands(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", type=Path, default=Path(), help="the repository (default: this folder)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    init = commands.add_parser("init", help="write .sops.yaml with a creation rule per environment")
    init.add_argument("--recipient", action="append", required=True, metavar="ENVIRONMENT=KEY")
    init.add_argument("--folder", default="secrets")
    init.set_defaults(run=_sops_init)
    check = commands.add_parser("check", help="find plaintext where a rule wants ciphertext (a pre-commit hook)")
    check.add_argument("files", type=Path, nargs="*")
    check.set_defaults(run=_sops_check)
    for name, text, run in (
        ("encrypt", "encrypt files in place", lambda o: sops_files.encrypt(o.root, o.files)),
        ("rotate", "renew the data key of files", lambda o: sops_files.rotate(o.files)),
        ("update-keys", "bring files to .sops.yaml's recipients", lambda o: sops_files.update_keys(o.root, o.files)),
        ("add-recipient", "let one more key open files", lambda o: sops_files.add_recipient(o.files, o.recipient)),
        ("remove-recipient", "take a key away", lambda o: sops_files.remove_recipient(o.files, o.recipient)),
    ):
        command = commands.add_parser(name, help=text)
        if "recipient" in name:
            command.add_argument("--recipient", required=True)
        command.add_argument("files", type=Path, nargs="+")
        command.set_defaults(run=run)
    edit = commands.add_parser("edit", help="edit an encrypted file in $EDITOR")
    edit.add_argument("file", type=Path)
    edit.set_defaults(run=lambda options: sops_files.edit(options.root, options.file))


if __name__ == "__main__":
    sys.exit(main())
