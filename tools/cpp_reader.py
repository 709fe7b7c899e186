"""Reads C++ well enough for tools/tidy: what is code, and where functions begin and end."""

import re

CPP_TOKENS = re.compile(
    r"""//[^\n]*|/\*.*?\*/|R"(?P<mark>\w*)\(.*?\)(?P=mark)"|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'""",
    re.DOTALL,
)


def without_comments_and_strings(text):
    """The same text with comments, literals and preprocessor lines blanked; offsets and lines stay."""

    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))

    text = CPP_TOKENS.sub(blank, text)
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, text, flags=re.MULTILINE)


def matching_brace(code, start):
    depth = 0
    for at in range(start, len(code)):
        if code[at] == "{":
            depth += 1
        elif code[at] == "}":
            depth -= 1
            if depth == 0:
                return at
    return len(code) - 1


SCOPE = re.compile(
    r"^\s*(?:(?:inline\s+)?namespace\b|extern\b\s*$|(?:template\s*<.*>\s*)?(?:class|struct|union)\b)", re.DOTALL
)
ACCESS = re.compile(r"^\s*(?:public|private|protected)\s*:")
CONSTRUCTOR_LIST = re.compile(r"\)\s*(?:noexcept\s*(?:\(.*?\))?\s*)?:(?!:)", re.DOTALL)


def cpp_functions(text):
    """(name, first line, last line) of each function with a body, outside of other functions."""
    code = without_comments_and_strings(text)
    found = []
    head_start = at = 0
    while at < len(code):
        if code[at] in ";}":
            head_start = at + 1
        elif code[at] == "{":
            head = code[head_start:at]
            before = head.rstrip()[-1:]
            in_parentheses = head.count("(") > head.count(")")
            in_constructor_list = CONSTRUCTOR_LIST.search(head) and before not in ")}"
            if in_parentheses or in_constructor_list:
                at = matching_brace(code, at)  # a value within the head
            elif SCOPE.match(ACCESS.sub("", head)):
                head_start = at + 1  # look inside
            else:
                end = matching_brace(code, at)
                if ")" in head and not re.search(r"(?<![=!<>])=\s*$", head):
                    first = at - len(ACCESS.sub("", head).lstrip())
                    found.append((function_name(head), code.count("\n", 0, first) + 1, code.count("\n", 0, end) + 1))
                at = end
                head_start = end + 1
        at += 1
    return found


def function_name(head):
    test = re.search(r"\bTEST(?:_F|_P)?\s*\(\s*(\w+)\s*,\s*(\w+)", head)
    if test:
        return f"{test.group(1)}.{test.group(2)}"
    head = re.sub(r"\b(?:alignas|noexcept|decltype)\s*\(", " ", head)
    name = re.search(r"((?:\w+::)*(?:operator\s*\S+?|~?\w+))\s*\(", head)
    return name.group(1) if name else "?"
