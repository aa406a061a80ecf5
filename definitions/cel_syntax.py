"""CEL's syntax tree: its protobuf messages, and what can be read off a tree.

The tree comes from the library's serialized form, CEL's published protobuf
(https://github.com/google/cel-spec/blob/master/proto/cel/expr/syntax.proto).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from definitions.terms import Term


def _syntax_tree_class() -> Any:
    """A protobuf class for CEL's syntax tree, of the fields that are read here."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="steploom/cel_syntax.proto", package="steploom.cel", syntax="proto3"
    )
    shapes: dict[str, list[tuple[str, int, int, str]]] = {
        # name: (field, number, type, message), after cel/expr/syntax.proto
        "Ident": [("name", 1, field.TYPE_STRING, "")],
        "Select": [
            ("operand", 1, field.TYPE_MESSAGE, "Expr"),
            ("field", 2, field.TYPE_STRING, ""),
            ("test_only", 3, field.TYPE_BOOL, ""),
        ],
        "Call": [
            ("target", 1, field.TYPE_MESSAGE, "Expr"),
            ("function", 2, field.TYPE_STRING, ""),
            ("args", 3, field.TYPE_MESSAGE, "Expr*"),
        ],
        "List": [("elements", 1, field.TYPE_MESSAGE, "Expr*")],
        "Entry": [
            ("map_key", 3, field.TYPE_MESSAGE, "Expr"),
            ("value", 4, field.TYPE_MESSAGE, "Expr"),
        ],
        "Struct": [("entries", 2, field.TYPE_MESSAGE, "Entry*")],
        "Comprehension": [
            ("iter_var", 1, field.TYPE_STRING, ""),
            ("iter_range", 2, field.TYPE_MESSAGE, "Expr"),
            ("accu_var", 3, field.TYPE_STRING, ""),
            ("accu_init", 4, field.TYPE_MESSAGE, "Expr"),
            ("loop_condition", 5, field.TYPE_MESSAGE, "Expr"),
            ("loop_step", 6, field.TYPE_MESSAGE, "Expr"),
            ("result", 7, field.TYPE_MESSAGE, "Expr"),
            ("iter_var2", 8, field.TYPE_STRING, ""),
        ],
        "Constant": [
            ("null_value", 1, field.TYPE_INT32, ""),
            ("bool_value", 2, field.TYPE_BOOL, ""),
            ("int64_value", 3, field.TYPE_INT64, ""),
            ("uint64_value", 4, field.TYPE_UINT64, ""),
            ("double_value", 5, field.TYPE_DOUBLE, ""),
            ("string_value", 6, field.TYPE_STRING, ""),
            ("bytes_value", 7, field.TYPE_BYTES, ""),
        ],
        "Expr": [
            ("const_expr", 3, field.TYPE_MESSAGE, "Constant"),
            ("ident_expr", 4, field.TYPE_MESSAGE, "Ident"),
            ("select_expr", 5, field.TYPE_MESSAGE, "Select"),
            ("call_expr", 6, field.TYPE_MESSAGE, "Call"),
            ("list_expr", 7, field.TYPE_MESSAGE, "List"),
            ("struct_expr", 8, field.TYPE_MESSAGE, "Struct"),
            ("comprehension_expr", 9, field.TYPE_MESSAGE, "Comprehension"),
        ],
        "CheckedExpr": [("expr", 4, field.TYPE_MESSAGE, "Expr")],
    }
    for name, fields in shapes.items():
        message = file.message_type.add(name=name)
        if name == "Constant":
            # Of a constant one field is there, even where it is empty, 0 or false.
            message.oneof_decl.add(name="constant_kind")
        for field_name, number, kind, of in fields:
            added = message.field.add(name=field_name, number=number, type=kind)
            added.label = field.LABEL_REPEATED if of.endswith("*") else field.LABEL_OPTIONAL
            if of:
                added.type_name = f".steploom.cel.{of.rstrip('*')}"
            if name == "Constant":
                added.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("steploom.cel.CheckedExpr"))


CheckedExpr = _syntax_tree_class()


def children(node: Any) -> Iterator[Any]:
    """The direct sub-expressions of a node, in the order of the text."""
    kind = kind_of(node)
    if kind == "select_expr":
        yield node.select_expr.operand
    elif kind == "call_expr":
        if node.call_expr.HasField("target"):
            yield node.call_expr.target
        yield from node.call_expr.args
    elif kind == "list_expr":
        yield from node.list_expr.elements
    elif kind == "struct_expr":
        for entry in node.struct_expr.entries:
            if entry.HasField("map_key"):
                yield entry.map_key
            yield entry.value
    elif kind == "comprehension_expr":
        part = node.comprehension_expr
        yield from (
            part.iter_range,
            part.accu_init,
            part.loop_condition,
            part.loop_step,
            part.result,
        )


def kind_of(node: Any) -> str | None:
    """The name of the field that says what the node is."""
    fields = node.ListFields()
    return fields[0][0].name if fields else None


def macro_nesting(node: Any) -> int:
    """How many macros stand inside one another, at most."""
    below = max((macro_nesting(child) for child in children(node)), default=0)
    return below + (1 if kind_of(node) == "comprehension_expr" else 0)


def references(node: Any, bound: frozenset[str]) -> Iterator[tuple[str, ...]]:
    """The paths that an expression may read; ``bound`` are the names of its macros."""
    path = path_of(node, bound)
    if path is not None:
        yield path
        return
    if kind_of(node) == "comprehension_expr":
        part = node.comprehension_expr
        inner = bound | {part.iter_var, part.accu_var, part.iter_var2}
        yield from references(part.iter_range, bound)
        yield from references(part.accu_init, bound)
        for child in (part.loop_condition, part.loop_step, part.result):
            yield from references(child, inner)
        return
    for child in children(node):
        yield from references(child, bound)


def path_of(node: Any, bound: frozenset[str]) -> tuple[str, ...] | None:
    """The path that a chain of selections reads, or None for anything else."""
    kind = kind_of(node)
    if kind == "ident_expr":
        name = node.ident_expr.name
        return None if name in bound else (name,)
    if kind == "select_expr":
        above = path_of(node.select_expr.operand, bound)
        return None if above is None else (*above, node.select_expr.field)
    if kind == "call_expr" and node.call_expr.function == "_[_]":
        operand, index = node.call_expr.args
        if kind_of(index) == "const_expr" and index.const_expr.HasField("string_value"):
            above = path_of(operand, bound)
            return None if above is None else (*above, index.const_expr.string_value)
    return None


def is_plain_path(node: Any) -> bool:
    """Whether an expression only names a place (and does not ask whether it is there)."""
    asks = kind_of(node) == "select_expr" and node.select_expr.test_only
    return path_of(node, frozenset()) is not None and not asks


def term_of(node: Any) -> Term:
    """The tree without the library."""
    kind = kind_of(node)
    if kind == "const_expr":
        return _constant(node.const_expr)
    args = tuple(term_of(child) for child in children(node))
    match kind:
        case "ident_expr":
            term = Term("name", node.ident_expr.name)
        case "select_expr" if node.select_expr.test_only:
            term = Term("has", node.select_expr.field, args=args)
        case "select_expr":
            term = Term("field", node.select_expr.field, args=args)
        case "call_expr":
            term = _call(node.call_expr.function, args)
        case "comprehension_expr":
            part = node.comprehension_expr
            term = Term("fold", part.iter_var, value=part.accu_var, args=args)
        case _:
            term = Term("list" if kind == "list_expr" else "map", args=args)
    return term


def _call(name: str, args: tuple[Term, ...]) -> Term:
    if name == "_[_]" and args[1].kind == "const" and args[1].name == "string":
        return Term("field", str(args[1].value), args=args[:1])
    return Term("call", name, args=args)


def _constant(constant: Any) -> Term:
    kind = constant.WhichOneof("constant_kind")
    name = (kind or "null_value").removesuffix("_value").removesuffix("64")
    value = None if name == "null" else getattr(constant, kind)
    return Term("const", name, value=value)
