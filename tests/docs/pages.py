"""The pages that users read, and the code blocks in them."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"

# Stands above a block of Python that runs only with packages that are not installed here.
COMPILED_ONLY = "<!-- compiled only -->"
_BLOCK = re.compile(
    r"^(?P<before>[^\n]*)\n+```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_FILE = re.compile(r"(?:<\?php\n)?(?:#|//) (?P<name>[\w./-]+\.\w+)\n")


@dataclass(frozen=True)
class Block:
    """A fenced block. `before` is the last line of text above it."""

    language: str
    text: str
    before: str

    @property
    def file(self) -> str | None:
        """The name that the block's first line gives it: `# tasks.py`, `// push.go`."""
        found = _FILE.match(self.text)
        return found["name"] if found else None

    @property
    def is_run(self) -> bool:
        """Whether it is Python that runs with what is installed here."""
        return self.language == "python" and COMPILED_ONLY not in self.before


class Page:
    """One Markdown file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.relative_to(ROOT).as_posix()
        self.text = path.read_text()
        self.blocks = [
            Block(found["language"], found["text"], found["before"])
            for found in _BLOCK.finditer(self.text)
        ]

    def of(self, *languages: str) -> list[Block]:
        """Return the blocks in these languages, in their order."""
        return [block for block in self.blocks if block.language in languages]

    def section(self, heading: str) -> str:
        """Return the text from a heading to the next one of its level."""
        level, _, _ = heading.partition(" ")
        _, _, rest = self.text.partition(f"\n{heading}\n")
        assert rest, f"{self.name} has no {heading!r}"
        return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def page(name: str) -> Page:
    """Return the page of this name, such as `docs/contract.md`."""
    return Page(ROOT / name)


PAGES = [Page(README), *(Page(path) for path in sorted((ROOT / "docs").glob("*.md")))]
