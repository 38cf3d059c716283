"""Configuration: the project (Pulumi.yaml), its typed schema, the stack's file (Pulumi.STACK.yaml) and the command line.

All of it is checked before anything runs. A key without a namespace belongs to the project: ``region`` is ``PROJECT:region``.

    config:                            in Pulumi.yaml
      ttl: {type: string, default: 1h, description: ...}
      replicas: {type: integer}        no default: required
      zones: {type: array, items: {type: string}}
      token: {type: string, secret: true}
      aws:region: eu-central-1         a plain value is a value for every stack
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sandbox.engine.errors import ConfigError, UsageError
from sandbox.engine.secrets import Crypter
from sandbox.engine.values import Properties, Secret

TYPES = ("string", "boolean", "integer", "number", "array", "object")
SECURE = "secure"


@dataclass(slots=True)
class Project:
    """A project: its name, what to run, and what it may be configured with."""

    name: str
    program: Path
    schema: dict[str, dict[str, Any]] = field(default_factory=dict)  # by full key
    values: dict[str, Any] = field(default_factory=dict)  # for every stack, by full key
    python: Path | None = None
    folder: Path | None = None


@dataclass(slots=True)
class StackConfig:
    """The stack's settings by full key, as text; structured ones are JSON."""

    values: dict[str, str] = field(default_factory=dict)
    secret_keys: set[str] = field(default_factory=set)

    def put(self, key: str, value: str, *, secret: bool) -> None:
        """Set a setting in place of an earlier one."""
        self.values[key] = value
        if secret:
            self.secret_keys.add(key)
        else:
            self.secret_keys.discard(key)

    def for_package(self, package: str) -> Properties:
        """The inputs of a package's default provider: the settings in its namespace."""
        prefix = package + ":"
        return {
            key[len(prefix) :]: Secret(value) if key in self.secret_keys else value
            for key, value in self.values.items()
            if key.startswith(prefix)
        }

    def secrets(self) -> list[str]:
        return [self.values[key] for key in sorted(self.secret_keys)]


def full_key(key: str, project: str) -> str:
    """The key with its namespace. Raises ConfigError for an empty part."""
    namespace, colon, name = key.rpartition(":")
    if not name or (colon and not namespace):
        raise ConfigError(f"config key {key!r}: expected NAME or NAMESPACE:NAME")
    return f"{(namespace or project).removesuffix(':config')}:{name}"


class _DuplicateKey(yaml.YAMLError):
    """A key that a mapping has already."""


class _UniqueKeys(yaml.SafeLoader):
    """As YAML has it and Pulumi's CLI too: a mapping has each key once. PyYAML would take the last one."""

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                raise _DuplicateKey(
                    f"line {key.start_mark.line + 1}: the key {key.value!r} is there twice; keep one of them"
                )
            seen.add((key.tag, key.value))
        return node


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file with a mapping, or an empty one. Raises ConfigError that names the file and the place."""
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot read: {error}") from error
    except _DuplicateKey as error:
        raise ConfigError(f"{path}: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping, found a {type(data).__name__}")
    return data


def load_project(program: Path, name: str | None) -> Project:
    """The project of a program: a file, or a folder with Pulumi.yaml.

    ``name`` wins over the file's. Raises UsageError where there is nothing to run.
    """
    program = program.resolve()
    if not program.exists():
        raise UsageError(f"--program {program}: there is no such file or folder")
    file = program / "Pulumi.yaml"
    if program.is_file() or not file.exists():
        if program.is_dir() and not (program / "__main__.py").exists():
            raise UsageError(f"--program {program}: the folder has neither Pulumi.yaml nor __main__.py")
        if not name:
            raise UsageError("--project: needed where the program is a file, or a folder without Pulumi.yaml")
        return Project(name, program)
    data = read_yaml(file)
    name = name or data.get("name")
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{file}: name: missing; expected the project's name")
    runtime = data.get("runtime", "python")
    options: Any = {}
    if isinstance(runtime, dict):
        options = runtime.get("options") or {}
        runtime = runtime.get("name")
    if runtime != "python":
        raise ConfigError(f"{file}: runtime: {runtime!r}; the embedded engine runs python programs only")
    main = program / data["main"] if data.get("main") else program
    project = Project(name, main, folder=program)
    if options.get("virtualenv"):
        interpreter = program / options["virtualenv"] / "bin" / "python"
        project.python = interpreter if interpreter.exists() else None
    _read_schema(project, data.get("config") or {}, file)
    return project


def _read_schema(project: Project, declared: Any, file: Path) -> None:
    if isinstance(declared, str):  # an old form: a folder for the stacks' files
        return
    if not isinstance(declared, dict):
        raise ConfigError(f"{file}: config: expected a mapping of keys")
    problems = []
    for key, entry in declared.items():
        full = full_key(str(key), project.name)
        if not isinstance(entry, dict):
            project.values[full] = entry
            continue
        if "value" in entry:
            project.values[full] = entry["value"]
            if "type" not in entry:
                continue
        kind = entry.get("type", "string")
        if kind not in TYPES:
            problems.append(f"{file}: config: {key}: type {kind!r} is none of {', '.join(TYPES)}")
            continue
        project.schema[full] = {**entry, "type": kind}
        if entry.get("default") is not None and (wrong := _mismatch(entry["default"], project.schema[full])):
            problems.append(f"{file}: config: {key}: its default is {wrong}")
    if problems:
        raise ConfigError("\n".join(problems))


def load_stack_config(
    project: Project,
    stack: str,
    *,
    files: Sequence[Path],
    config: Mapping[str, str],
    secrets: Mapping[str, str],
    passphrase: str | None,
) -> StackConfig:
    """All settings of a stack: the project's, the stack files', the command line's (the later wins), then defaults.

    Where no file is given it is Pulumi.STACK.yaml, if that is there. Raises ConfigError with one line for each key that is
    missing, unknown, or of another type.
    """
    result = StackConfig()
    for key, value in project.values.items():
        result.values[key] = _text(value)
    if not files and project.folder is not None:
        beside = project.folder / f"Pulumi.{stack}.yaml"
        files = [beside] if beside.exists() else []
    where: dict[str, str] = {}
    for file in files:
        for key in _read_stack_file(file, project, passphrase, result):
            where[key] = str(file)
    for given, secret in ((config, False), (secrets, True)):
        for key, value in given.items():
            full = full_key(key, project.name)
            result.put(full, value, secret=secret)
            where[full] = "--secret" if secret else "--config"
    _apply_schema(project, result, where, str(files[0]) if files else f"Pulumi.{stack}.yaml")
    return result


def _read_stack_file(file: Path, project: Project, passphrase: str | None, result: StackConfig) -> list[str]:
    data = read_yaml(file)
    entries = data.get("config") or {}
    if not isinstance(entries, dict):
        raise ConfigError(f"{file}: config: expected a mapping of keys")
    crypter = Crypter(passphrase, data.get("encryptionsalt"), where=str(file))
    keys = []
    for key, value in entries.items():
        full = full_key(str(key), project.name)
        secret = _has_secure(value)
        if secret and not data.get("encryptionsalt"):
            raise ConfigError(f"{file}: config: {key}: is encrypted, but the file has no encryptionsalt")
        result.put(full, _text(_opened(value, crypter) if secret else value), secret=secret)
        keys.append(full)
    return keys


def _has_secure(value: Any) -> bool:
    if isinstance(value, dict):
        return set(value) == {SECURE} or any(_has_secure(item) for item in value.values())
    return isinstance(value, list) and any(_has_secure(item) for item in value)


def _opened(value: Any, crypter: Crypter) -> Any:
    if isinstance(value, dict):
        if set(value) == {SECURE}:
            return crypter.decrypt(str(value[SECURE]))
        return {key: _opened(item, crypter) for key, item in value.items()}
    return [_opened(item, crypter) for item in value] if isinstance(value, list) else value


def _text(value: Any) -> str:
    """As programs get it: texts as they are, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _apply_schema(project: Project, result: StackConfig, where: Mapping[str, str], place: str) -> None:
    """``place`` is where a setting belongs that is nowhere."""
    problems = []
    for key, entry in project.schema.items():
        short = key.removeprefix(project.name + ":")
        if key not in result.values:
            if "default" not in entry or entry["default"] is None:
                about = f" ({entry['description']})" if entry.get("description") else ""
                problems.append(
                    f"{place}: config key {short!r} is missing{about}: expected a value of type {entry['type']}"
                )
                continue
            result.values[key] = _text(entry["default"])
        if entry.get("secret"):
            result.secret_keys.add(key)
        wrong = _mismatch_text(result.values[key], entry)
        if wrong:
            shown = "" if key in result.secret_keys else f" {result.values[key]!r}"
            problems.append(f"{where.get(key, place)}: config key {short!r}: {wrong}, found{shown or ' another type'}")
    if project.schema:
        known = [key.removeprefix(project.name + ":") for key in project.schema]
        for key in result.values:
            if key.startswith(project.name + ":") and key not in project.schema:
                short = key.removeprefix(project.name + ":")
                close = difflib.get_close_matches(short, known, 1)
                hint = f"; did you mean {close[0]!r}?" if close else f"; the project has: {', '.join(sorted(known))}"
                problems.append(f"{where.get(key, place)}: unknown config key {short!r}{hint}")
    if problems:
        raise ConfigError("\n".join(problems))


def _mismatch_text(text: str, entry: Mapping[str, Any]) -> str:
    """What a setting's text is instead of its type; empty where it fits."""
    if entry["type"] == "string":
        return ""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return f"expected {_article(entry)}"
    return _mismatch(value, entry)


def _mismatch(value: Any, entry: Mapping[str, Any]) -> str:
    kind = entry["type"]
    fits = {
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
    }[kind]
    if not fits:
        return f"expected {_article(entry)}"
    items = entry.get("items")
    if kind == "array" and isinstance(items, dict):
        for at, item in enumerate(value):
            if wrong := _mismatch(item, {**items, "type": items.get("type", "string")}):
                return f"item {at}: {wrong}"
    return ""


def _article(entry: Mapping[str, Any]) -> str:
    kind: str = entry["type"]
    article = "an" if kind[0] in "aio" else "a"
    items = entry.get("items")
    of = f" of {items.get('type', 'string')}s" if kind == "array" and isinstance(items, dict) else ""
    return f"{article} {kind}{of}"
