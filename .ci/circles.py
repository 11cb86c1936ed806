#!/usr/bin/env python3
"""Fails if files of one crate use each other in a circle, or if a crate depends on one above it.

A file uses another when a path in it, in `use` or in the code, leads to an item defined there.
`mod` declarations, re-exports and code under `#[cfg(test)]` do not count.
Usage: .ci/circles.py [--self-test | WORKSPACE]
"""
import pathlib, re, sys, tempfile, tomllib

# Bottom first: a crate depends on crates of lower layers only.
LAYERS = [
    ["leoma-protocol"],
    [f"leoma-{part}" for part in "chain rotation scoring storage wallet web".split()],
    ["leoma-synapse"],
    ["leoma", "node-subtensor-runtime"],
    ["leoma-testnet"],
]
# Dev-dependencies that point elsewhere: the chain client is tested against the runtime's metadata.
DEV_EXCEPTIONS = {(user, "node-subtensor-runtime") for user in ("leoma", "leoma-chain")}
# Comments, strings and characters.
NOISE = re.compile(
    r"//[^\n]*|/\*.*?\*/|\b[bc]?r(#*)\".*?\"\1|\"(?:\\.|[^\"\\])*\"|'(?:\\[^']*|[^'\\])'", re.S)
TOKEN = re.compile(r"#!?\[|[\w]+(?:\s*::\s*\w+)*|::|\S")
OPENING, CLOSING = ("{", "(", "[", "#[", "#!["), ("}", ")", "]")
ITEMS = ("fn", "struct", "enum", "trait", "type", "const", "static", "union", "macro_rules")


class Module:
    def __init__(self, file, parent=None):
        self.file, self.parent = file, parent
        self.children, self.items, self.imports, self.globs = {}, set(), {}, []
        self.paths = []  # what its code and its private imports name


def group_end(tokens, at):
    """The index behind the group that opens at `at`."""
    depth = 0
    while True:
        depth += (tokens[at] in OPENING) - (tokens[at] in CLOSING)
        at += 1
        if depth == 0:
            return at


def leaves(use):
    """(name, path) of each leaf of `a::{b, c::*, d as e}`, written without spaces but ` as `."""
    prefix, brace, inner = use.partition("{")
    if not brace:
        path, _, name = use.partition(" as ")
        parts = path.removesuffix("::self").split("::")
        return [(name or parts[-1], parts)]
    depth, parts = 0, [""]
    for char in inner[:-1]:
        depth += (char == "{") - (char == "}")
        parts = [*parts, ""] if char == "," and depth == 0 else [*parts[:-1], parts[-1] + char]
    return [leaf for part in parts if part for leaf in leaves(prefix + part)]


def parse_file(file, module, modules):
    tokens = [re.sub(r"\s", "", token) for token in TOKEN.findall(NOISE.sub(" ", file.read_text()))]
    own_folder = file.stem in ("mod", "lib", "main")
    parse(tokens, module, modules, file.parent if own_folder else file.parent / file.stem)


def parse(tokens, module, modules, folder):
    modules.append(module)
    at, depth, public = 0, 0, False
    while at < len(tokens):
        token, following = tokens[at], tokens[at + 1:at + 3]
        if token in ("#[", "#!["):
            start, at = at, group_end(tokens, at)
            attribute = tokens[start + 1:at]
            if attribute[0] == "cfg" and "test" in attribute and not {"any", "not"} & {*attribute}:
                while tokens[at] not in ("{", ";", "}"):
                    at = group_end(tokens, at) if tokens[at] in OPENING else at + 1
                if tokens[at] != "}":  # the end of what the item is in
                    at = group_end(tokens, at) if tokens[at] == "{" else at + 1
        elif token == "mod" and depth == 0 and following[-1] in ("{", ";"):
            name, end = following[0], at + 3
            child = module.children[name] = Module(module.file, module)
            if following[1] == "{":
                end = group_end(tokens, at + 2)
                parse(tokens[at + 3:end - 1], child, modules, folder / name)
            else:
                choices = folder / f"{name}.rs", folder / name / "mod.rs"
                child.file = next(filter(pathlib.Path.exists, choices))
                parse_file(child.file, child, modules)
            at, public = end, False
        elif token == "use":
            end = tokens.index(";", at)
            use = " ".join(tokens[at + 1:end])
            for name, path in leaves(re.sub(r" (?!as )|(?<! as) ", "", use).replace(",}", "}")):
                if name == "*":
                    module.globs.append(path[:-1])
                    continue
                module.imports.setdefault(name, path)
                if not public:
                    module.paths.append(path)
            at, public = end + 1, False
        elif token == "pub":
            public, at = True, at + 1
            if tokens[at] == "(" and tokens[at + 1].split("::")[0] in ("crate", "super", "in"):
                at = group_end(tokens, at)
        else:
            depth += (token in OPENING) - (token in CLOSING)
            if token in ITEMS and depth == 0:
                module.items.add(following[-1] if following[0] == "!" else following[0])
            elif token[0].isalpha() and tokens[at - 1] not in ("::", "."):
                module.paths.append(token.split("::"))
            at, public = at + 1, False


def lookup(module, name, seen):
    """What `name` means in `module`: a module, the file that defines it, or None."""
    if (module, name) in seen:
        return None
    seen = seen | {(module, name)}
    if name in module.children:
        return module.children[name]
    if name in module.items:
        return module.file
    if name in module.imports:
        return resolve(module, module.imports[name], seen)
    targets = [resolve(module, glob, seen) for glob in module.globs]
    found = [lookup(target, name, seen) for target in targets if isinstance(target, Module)]
    return next(filter(None, found), None)


def resolve(module, path, seen=frozenset()):
    """The module that `path` leads to, the file that defines its item, or None: another crate."""
    first, *rest = path
    here = module if first in ("crate", "self", "super") else lookup(module, first, seen)
    while first == "crate" and here.parent:
        here = here.parent
    for name in path if first == "super" else rest:
        if not isinstance(here, Module):
            break
        if name == "super":
            here = here.parent
        elif name != "self":  # an item that a macro makes is taken for its module's own
            here = lookup(here, name, seen) or here.file
    return here


def uses(root):
    """{file: {used file: one of the paths}} of the crate with this root file."""
    modules, graph = [], {}
    parse_file(root, Module(root), modules)
    for module in modules:
        for path in module.paths:
            target = resolve(module, path)
            if isinstance(target, pathlib.Path) and target != module.file:
                graph.setdefault(module.file, {}).setdefault(target, "::".join(path))
    return graph


def circles(graph):
    """The groups of files that reach each other."""
    def reached(file):
        found, todo = set(), [file]
        while todo:
            new = set(graph.get(todo.pop(), ())) - found
            found |= new
            todo += new
        return found
    reach = {file: reached(file) for file in graph}
    groups = {frozenset(b for b in reach[a] if a in reach.get(b, ())) for a in graph}
    return sorted(sorted(group) for group in groups if group)


def check(workspace):
    """Every fault of the workspace, as lines."""
    read = lambda folder: tomllib.loads((folder / "Cargo.toml").read_text())
    top, faults = read(workspace)["workspace"], []
    layer = {name: at for at, names in enumerate(LAYERS) for name in names}
    for member in top["members"]:
        manifest = read(workspace / member)
        name = manifest["package"]["name"]
        sections = [manifest, *manifest.get("target", {}).values()]
        for kind in ("dependencies", "build-dependencies", "dev-dependencies"):
            for used, how in ((u, h) for s in sections for u, h in s.get(kind, {}).items()):
                excepted = kind == "dev-dependencies" and (name, used) in DEV_EXCEPTIONS
                if used in layer and used != name and not excepted:
                    if layer[used] >= layer.get(name, -1):
                        faults.append(f"{name} depends on {used}, which is not below it")
                if (name, used) == ("leoma-rotation", "leoma-protocol"):
                    if "mesh" in f"{how} {top['dependencies'].get(used)}":
                        faults.append(f"{name} takes {used} with its feature mesh")
        for root in (workspace / member / "src" / file for file in ("lib.rs", "main.rs")):
            graph = uses(root) if root.exists() else {}
            for group in circles(graph):
                faults.append(f"{name}: a circle of {len(group)} files")
                for file in group:
                    for target in sorted(set(graph[file]) & set(group)):
                        pair = (str(path.relative_to(root.parent)) for path in (file, target))
                        faults.append(f"    {' -> '.join(pair)} ({graph[file][target]})")
    return faults


def self_test():
    cases = [  # (whether there is a circle, its files)
        (True, {"lib.rs": "mod a;", "a/mod.rs": "mod b; pub struct A; fn f() { b::g() }",
                "a/b.rs": "use super::A; pub fn g() {}"}),
        (True, {"lib.rs": "mod a; mod b; pub use b::{self, B};", "a.rs": "use crate::B; struct A;",
                "b.rs": "pub struct B(crate::a::A);"}),
        (False, {"lib.rs": "mod a; mod b;", "a.rs": "use super::b::B; pub struct A;",
                 "b.rs": "pub struct B; // a::A\n#[cfg(test)] mod tests { use crate::a::A; }"}),
        (False, {"lib.rs": "mod a; pub use a::{A, b::B as C};",
                 "a/mod.rs": "pub mod b; pub use b::B; pub struct A;",
                 "a/b.rs": "use super::super::a; pub struct B(a::A);"}),
    ]
    for expected, files in cases:
        with tempfile.TemporaryDirectory() as folder:
            for file, text in files.items():
                path = pathlib.Path(folder, file)
                path.parent.mkdir(exist_ok=True)
                path.write_text(text)
            assert bool(circles(uses(pathlib.Path(folder, "lib.rs")))) == expected, files


if sys.argv[1:] == ["--self-test"]:
    self_test()
else:
    folder = sys.argv[1] if sys.argv[1:] else pathlib.Path(__file__).parent.parent
    found = check(pathlib.Path(folder))
    print("\n".join(found) or "no circles, no arrow upwards")
    sys.exit(bool(found))
