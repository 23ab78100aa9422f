"""A YAML file as nodes with their lines, so that a message can say where something is wrong."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeGuard

import yaml


class Invalid(Exception):
    """What is wrong at a node of a file; `line` counts from 1, None for the file as a whole."""

    def __init__(self, message: str, node: yaml.Node | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.line = node.start_mark.line + 1 if node is not None else None
        self.hint = hint


class Member(NamedTuple):
    """A key of a mapping as it is written, its node, and the node of its value."""

    key: str
    node: yaml.Node
    value: yaml.Node


class Document:
    """The nodes of a YAML file. Raises UnicodeDecodeError and YAMLError."""

    def __init__(self, text: bytes) -> None:
        self._loader = yaml.SafeLoader(text.decode("utf-8-sig"))
        self.root = self._loader.get_single_node()

    def entries(self, node: yaml.Node, expected: str) -> list[Member]:
        """Return the entries of a mapping, those merged by `<<` too.

        Raises Invalid if the node is none, or if two keys are the same.
        """
        if not is_mapping(node):
            raise Invalid(f"expected {expected}, came {shown(node)}", node)
        seen: dict[str, yaml.Node] = {}
        for key, _ in node.value:
            if not is_scalar(key):
                raise Invalid(f"expected a name, came {shown(key)}", key)
            if key.value in seen:
                first = seen[key.value].start_mark.line + 1
                raise Invalid(
                    f"{key.value!r} stands here for the second time", key,
                    f"the first is in line {first}",
                )  # fmt: skip
            seen[key.value] = key
        self._loader.flatten_mapping(node)
        merged = {key.value: Member(key.value, key, value) for key, value in node.value}
        return list(merged.values())

    def value(self, node: yaml.Node) -> Any:
        """Return the scalar of a node as YAML types it. Raises Invalid for a list or mapping."""
        if not is_scalar(node):
            raise Invalid(f"expected one value, came {shown(node)}", node)
        try:
            return self._loader.construct_object(node)
        except ValueError as error:  # of 2024-02-31
            raise Invalid(f"{node.value!r} is no value: {error}", node) from None

    def items(self, node: yaml.Node, expected: str) -> list[yaml.Node]:
        """Return the nodes of a list. Raises Invalid if the node is none."""
        if not is_list(node):
            raise Invalid(f"expected {expected}, came {shown(node)}", node)
        return list(node.value)


def is_mapping(node: yaml.Node) -> TypeGuard[yaml.MappingNode]:
    """Return whether a node is a mapping."""
    return isinstance(node, yaml.MappingNode)


def is_list(node: yaml.Node) -> TypeGuard[yaml.SequenceNode]:
    """Return whether a node is a list."""
    return isinstance(node, yaml.SequenceNode)


def is_scalar(node: yaml.Node) -> TypeGuard[yaml.ScalarNode]:
    """Return whether a node is one value."""
    return isinstance(node, yaml.ScalarNode)


def shown(node: yaml.Node) -> str:
    """Return what a node is, for a message."""
    if is_scalar(node):
        return repr(node.value)[:80] if node.value else "nothing"
    return "a list" if is_list(node) else "a mapping"
