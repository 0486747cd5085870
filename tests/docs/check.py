#!/usr/bin/env python3
"""Holds the book to the program: what it links to is there, what it shows is taken, what it lists is all there is.

    tests/docs/check.py BINARY             checks
    tests/docs/check.py BINARY --update    writes the pages that are made of the code anew, then checks
    tests/docs/check.py --rendered DIR     checks that every link of the book that mdBook has made in DIR leads somewhere

Needs PyYAML. The pages that are made: docs/reference/commands.md, configuration.md, the routes in api.md, the kits in
docs/playbooks.md, and the runbooks in docs/SUMMARY.md.
"""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SHORT = ["README.md", "SECURITY.md", "ARCHITECTURE.md", "CHANGELOG.md", "deploy/README.md"]
BEGIN, END = "<!-- made by tests/docs/check.py -->\n", "<!-- end of what is made -->\n"
complaints = []


def complain(page, text):
    complaints.append(f"{page.relative_to(ROOT)}: {text}")


def pages():
    return sorted(DOCS.rglob("*.md"))


def documents():
    """The book, and what is read beside it."""
    return pages() + [ROOT / name for name in SHORT if (ROOT / name).exists()] + sorted((ROOT / "deploy").glob("s*/**/*.md"))


def prose(text):
    """The text without what is shown as code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"(?ms)^```.*?^```$|^( {4,}|\t).*?$", "", text))


def anchors(path):
    """The places that headings make, as GitHub and mdBook name them."""
    found = set()
    for heading in re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?ms)^```.*?^```$", "", path.read_text())):
        name = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        found.add(name if name not in found else f"{name}-1")
    return found


def links(binary):
    for page in documents():
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(page.read_text())):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, heading = target.partition("#")
            there = (page.parent / file).resolve() if file else page
            if not there.exists():
                complain(page, f"{target} is not there")
            elif heading and heading not in anchors(there):
                complain(page, f"{target}: there is no such heading")
            elif page.is_relative_to(DOCS) and there.suffix == ".md" and not there.is_relative_to(DOCS):
                complain(page, f"{target} leaves the book: link to its folder, or name it; mdBook would call it .html")


def summary(binary):
    text = (DOCS / "SUMMARY.md").read_text()
    named = re.findall(r"\]\(([^)]+)\)", text)
    for name in {name for name in named if named.count(name) > 1}:
        complain(DOCS / "SUMMARY.md", f"{name} stands twice")
    for page in pages():
        name = str(page.relative_to(DOCS))
        if name not in named and name != "SUMMARY.md":
            complain(page, "is not in SUMMARY.md")


def help_of(binary, *words):
    return subprocess.run([binary, *words, "--help"], capture_output=True, text=True)


def tree(binary, *words):
    """Every command with its help, in the order in which the help lists them."""
    shown = help_of(binary, *words).stdout
    yield words, shown
    listed = re.search(r"(?ms)^Commands:\n(.*?)\n\n", shown)
    for name in re.findall(r"(?m)^  ([a-z-]+)", listed.group(1)) if listed else []:
        if name != "help":
            yield from tree(binary, *words, name)


def shown_commands(text):
    """The command lines in blocks, whole, and the ones within sentences, which may be a part of one."""
    blocks = re.findall(r"(?ms)^```(?:sh|bash|console)?\n(.*?)^```$", text)
    blocks += re.findall(r"(?m)(?:^    .*\n)+", re.sub(r"(?ms)^```.*?^```$", "", text))
    for block in blocks:
        block = re.sub(r"(?ms)<<-?'?(\w+)'?(.*?)\n(.*?)^\s*\1$", r"\2", re.sub(r"\\\n", " ", block))
        for begun in re.findall(r"(?m)(?:^\s*|\$\(|[|;&]\s*|sudo -u \S+ )quarantine-bridge(?= )( .*)$", block):
            yield True, begun
    for begun in re.findall(r"`quarantine-bridge ([^`]*)`", re.sub(r"(?ms)^```.*?^```$", "", text).replace("\n", " ")):
        yield False, begun


def words_of(line):
    """The arguments of a command line, up to what the shell takes for itself."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    words = []
    for word in lexer:
        if word and set(word) <= set("|&;<>()"):
            break
        if word in ("2", "1") and re.search(rf"\b{word}>", line):
            break
        words.append(word)
    return words


# What a reader puts something else for.
STAND_INS = {
    r"\$?\bID\b": "019d4418-5b00-7c2e-9a61-402d1b9e6f02",
    r"\bNAME\b": "soc",
    r"qbpk_\.\.\.": "qbpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=",
    r"\.\.\.": "X",
}


def commands(binary):
    helps = {words: shown for words, shown in tree(binary)}
    seen = 0
    for page in documents():
        for whole, line in shown_commands(page.read_text()):
            for placeholder, value in STAND_INS.items():
                line = re.sub(placeholder, value, line)
            try:
                words = words_of(line)
            except ValueError:
                complain(page, f"cannot be read: quarantine-bridge{line}")
                continue
            path = ()
            while len(path) < len(words) and (*path, words[len(path)]) in helps:
                path += (words[len(path)],)
            if not path and words and not words[0].startswith("-"):
                complain(page, f"{words[0]!r} is no command: quarantine-bridge {line}")
                continue
            seen += 1
            if not whole:
                for option in (word for word in words if word.startswith("--")):
                    if option.split("=")[0] not in re.findall(r"--[a-z-]+", helps[path]):
                        complain(page, f"{option} is no option of quarantine-bridge {' '.join(path)}")
                continue
            # What is wrong before --help is told; what is missing is not, so it is looked for in the usage.
            asked = subprocess.run([binary, *words, "--help"], capture_output=True, text=True)
            if asked.returncode != 0:
                complain(page, f"quarantine-bridge {line}\n    {asked.stderr.strip().splitlines()[0]}")
                continue
            usage = re.search(r"(?m)^Usage: .*$", helps[path]).group(0)
            for option in re.findall(r"(?<!\[)(--[a-z-]+) <", usage):
                if option not in words and not any(word.startswith(f"{option}=") for word in words):
                    complain(page, f"quarantine-bridge {line}\n    lacks {option}")
            if "<COMMAND>" in usage:
                complain(page, f"quarantine-bridge {line}\n    lacks a command")
    if seen < 60:
        complaints.append(f"only {seen} commands were found in the book")


def tried(binary):
    """What the pages of senders let a format find in the repository's own payloads, it finds."""
    for page in pages():
        for name, payload in re.findall(r"quarantine-bridge formats try ([a-z0-9-]+) < (tests/data/\S+)", page.read_text()):
            with open(ROOT / payload) as alert:
                asked = subprocess.run([binary, "formats", "try", name, "--json"], stdin=alert, capture_output=True, text=True)
            if asked.returncode != 0:
                complain(page, f"formats try {name} < {payload}\n    {asked.stderr.strip()}")


AROUND = {
    "store": '[store]\npath = "bridge.db"\n',
    "defender": '[defender]\ntenant_id = "00000000-0000-0000-0000-000000000000"\n'
    'client_id = "00000000-0000-0000-0000-000000000000"\nclient_secret = { file = "secret" }\n',
    "sources": '[sources.soc]\nformat = "bridge"\nmode = "shadow"\n[sources.soc.auth]\nscheme = "standard-webhooks"\n'
    'secrets = [{ file = "secret" }]\n',
}
ABSENT = "cannot be read: No such file or directory"


def snippets(binary):
    """Every piece of configuration is taken, but for keys and certificates in files, which are not here."""
    seen = 0
    for page in documents():
        for block in re.findall(r"(?ms)^```toml\n(.*?)^```$", page.read_text()):
            if re.match(r"(secrets|client_secret) = ", block):
                continue
            with tempfile.TemporaryDirectory() as folder:
                place = pathlib.Path(folder)
                (place / "own.jq").write_text((ROOT / "src/mapping/formats/bridge.jq").read_text())
                (place / "never-quarantine.txt").write_text("")
                # Any secret will do that is one of all schemes; what else is in files of its own is not here.
                (place / "secret").write_text(f"whsec_{'c2Vj' * 12}")
                (place / "secret").chmod(0o600)
                shown, block = block, re.sub(r'(?m)^format_file = .*$', 'format_file = "own.jq"', block)
                block = re.sub(r'(?m)^(\w*secrets? = .*?file = )"[^"]*"', r'\1"secret"', block)
                around = "".join(text for name, text in AROUND.items() if not re.search(rf"(?m)^\[{name}\b", block) or
                                 (name == "sources" and not re.search(r"(?m)^\[sources\.[a-z0-9-]+\]$", block)
                                  and "[sources.soc." in block))
                # Keys before the first section come first in the file.
                (place / "quarantine-bridge.toml").write_text(f"{around}\n{block}" if block.lstrip().startswith(("[", "#")) else f"{block}\n{around}")
                asked = subprocess.run([binary, "check", "--json"], cwd=folder, capture_output=True, text=True)
            for complaint in json.loads(asked.stdout)["complaints"]:
                if ABSENT not in complaint["problem"]:
                    complain(page, f"{complaint['key']}: {complaint['problem']}: {complaint['remedy']}\n{shown}")
            seen += 1
    if seen < 30:
        complaints.append(f"only {seen} pieces of configuration were found in the book")


def tests(binary):
    """Every test that a page of security names is there."""
    seen = 0
    for page in sorted((DOCS / "security").rglob("*.md")):
        for module, name in re.findall(r"`([a-z_:]+)::([a-z0-9_]+)`", page.read_text()):
            file = ROOT / "tests/it" / (module.replace("::", "/") + ".rs")
            if not file.exists():
                complain(page, f"{module}: there is no {file.relative_to(ROOT)}")
            elif f"fn {name}(" not in file.read_text():
                complain(page, f"there is no test {module}::{name}")
            seen += 1
    if seen < 60:
        complaints.append(f"only {seen} tests are named in docs/security")


def formats_and_schemes(binary):
    """Every built-in format and every scheme has its row."""
    listed = subprocess.run([binary, "formats", "list", "--json"], capture_output=True, text=True, check=True).stdout
    formats = DOCS / "formats.md"
    for name in (it["name"] for it in json.loads(listed)):
        if f"\n| `{name}` |" not in formats.read_text():
            complain(formats, f"has no row for {name}")
    with tempfile.TemporaryDirectory() as folder:
        # A scheme that is none makes `check` name those that are.
        wrong = "".join(AROUND.values()).replace("standard-webhooks", "no such scheme")
        (pathlib.Path(folder) / "quarantine-bridge.toml").write_text(wrong)
        asked = subprocess.run([binary, "check", "--json"], cwd=folder, capture_output=True, text=True)
    told = next(it["remedy"] for it in json.loads(asked.stdout)["complaints"] if it["key"].endswith(".scheme"))
    proof = DOCS / "sources/proof.md"
    rows = "".join(line for line in proof.read_text().splitlines() if line.startswith("| `"))
    for name in told.removeprefix("write one of ").split(", "):
        if f"`{name}`" not in rows:
            complain(proof, f"has no row for the scheme {name}")


def metrics(binary):
    """The table of metrics has those of the code, with their words, and no others."""
    table = ROOT / "src/telemetry/metric"
    code = "".join(part.read_text() for part in sorted(table.glob("*.rs")))
    rows = re.findall(r'pub const \w+: Metric =\s*(counter|gauge|histogram)\(\s*"([^"]+)",\s*"([^"]+)",?\s*\)', code)
    page = DOCS / "reference/metrics.md"
    if not rows or len(rows) != len(re.findall(r"pub const \w+: Metric ", code)):
        complain(table, "has a metric that cannot be read")
    wanted = {f"| `{name}` | {kind} | {text} |" for kind, name, text in rows}
    shown = set(re.findall(r"(?m)^\| `.*$", page.read_text()))
    for row in sorted(wanted ^ shown):
        complain(page, f"{'lacks' if row in wanted else 'has, and the code has not,'} {row}")


def commands_page(binary):
    out = ["# Commands", "", "What `--help` says, of each command. Exit codes: [problems](problems.md#exit-codes).", ""]
    for words, shown in tree(binary):
        name = " ".join(("quarantine-bridge", *words))
        out += [f"## {name}", "", "```text", shown.strip(), "```", ""]
    return "\n".join(out)


def configuration_page(binary):
    """The example, section by section: comments, keys and defaults as they stand there; the tests hold it to the code."""
    out = [
        "# Configuration",
        "",
        "One TOML file, `quarantine-bridge.toml` in the current folder unless `--config` names another. Every key is in",
        "[quarantine-bridge.example.toml](../../quarantine-bridge.example.toml), and this page is that file section by section. What is",
        "stated is the default; what has `#` before it is off unless you say it. `quarantine-bridge check` names every mistake with its line",
        "and what to do, and knows every key: one that it does not know is a mistake.",
        "",
    ]
    text = (ROOT / "quarantine-bridge.example.toml").read_text()
    sections = [["", []]]
    pending = []
    for line in text.splitlines():
        # A section is what stands in brackets at the beginning of a line, taken or as a comment; its comment stands before it.
        begun = re.match(r"^(?:# )?\[([a-zA-Z_.]+)\]$", line)
        if begun and begun.group(1) != sections[-1][0]:
            sections.append([begun.group(1), pending])
            pending = []
        if line.startswith("#") or begun:
            pending.append(line)
        else:
            sections[-1][1].extend([*pending, line])
            pending = []
    sections[-1][1].extend(pending)
    names = set()
    for name, lines in sections:
        body = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
        if not body:
            continue
        title = f"[{name}]" if name else "Before the first section"
        title = title if title not in names else f"{title}, again"
        names.add(title)
        out += [f"## {title}", "", "```text", body, "```", ""]
    return "\n".join(out)


def operations_table(binary):
    document = yaml.safe_load((ROOT / "openapi.yaml").read_text())
    out = ["| method | path | token | what |", "|---|---|---|---|"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method in ("get", "post", "put", "delete", "patch"):
                scope = operation.get("x-scope")
                out.append(f"| {method.upper()} | `{path}` | {f'`{scope}`' if scope else 'none'} | {operation['summary']} |")
    return "\n".join(out) + "\n"


def kits_table(binary):
    """The table of deploy/soar, with links to the kits' folders."""
    table = re.findall(r"(?m)^\|.*\n", (ROOT / "deploy/soar/README.md").read_text())
    return re.sub(r"\]\(([^)]*)/README\.md\)", r"](../deploy/soar/\1)", "".join(table))


def runbooks_list(binary):
    folder = DOCS / "runbooks"
    if not (folder / "README.md").exists():
        return ""
    title = {page.name: re.match(r"# (.*)", page.read_text()).group(1) for page in sorted(folder.glob("*.md"))}
    out = [f"- [{title.pop('README.md')}](runbooks/README.md)\n"]
    return "".join(out + [f"  - [{name}](runbooks/{page})\n" for page, name in title.items()])


def between(text, made):
    before, rest = text.split(BEGIN, 1)
    return before + BEGIN + made + END + rest.split(END, 1)[1]


def made(binary):
    def part(name, text):
        return name, between((DOCS / name).read_text(), text)

    yield "reference/commands.md", commands_page(binary)
    yield "reference/configuration.md", configuration_page(binary)
    yield part("reference/api.md", "\n" + operations_table(binary) + "\n")
    yield part("playbooks.md", "\n" + kits_table(binary) + "\n")
    yield part("SUMMARY.md", runbooks_list(binary))


def rendered(folder):
    """Every link within the pages that mdBook made, by the ids that are there."""
    text = {page: page.read_text() for page in folder.rglob("*.html") if page.name not in ("print.html", "toc.html", "404.html")}
    ids = {page: set(re.findall(r' id="([^"]+)"', html)) for page, html in text.items()}
    for page, html in text.items():
        for target in re.findall(r'<a href="([^":]+)"', html.split("<main>", 1)[1].split("</main>", 1)[0]):
            file, _, place = target.partition("#")
            there = (page.parent / file).resolve() if file else page
            if not there.exists() or (place and there in ids and place not in ids[there]):
                complain(page, f"{target} leads nowhere")
    print(f"{len(text)} pages of mdBook lead where they say")


def main():
    if sys.argv[1] == "--rendered":
        rendered(pathlib.Path(sys.argv[2]).resolve())
        sys.exit("\n".join(complaints) or 0)
    binary = str(pathlib.Path(sys.argv[1]).resolve())
    os.environ["COLUMNS"] = "100"
    for name, text in made(binary):
        page = DOCS / name
        if "--update" in sys.argv:
            page.write_text(text)
        elif not page.exists() or page.read_text() != text:
            complain(page, "is not what the code says: tests/docs/check.py BINARY --update")
    for check in (summary, links, commands, tried, snippets, tests, formats_and_schemes, metrics):
        check(binary)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    if complaints:
        sys.exit(f"{len(complaints)} complaints about the book")
    print(f"{len(pages())} pages are as they should be")


if __name__ == "__main__":
    main()
