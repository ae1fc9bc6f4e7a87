"""What is asked for of figures, each {"of": "median" or "ratio", "least" or "most": number}."""

import re


def _least(of, number):
    return {"of": of, "least": number}


def _most(of, number):
    return {"of": of, "most": number}


# {(group, name of the row): what is asked for}
GOALS = {
    ("testpmd", "dsr_l2, 2,000 flows"): [_least("ratio", 0.55)],
    ("testpmd", "dsr_l2, 64,000 flows"): [_least("ratio", 0.5)],
    ("memif", "dsr_l2, 64,000 flows"): [_least("ratio", 0.75)],
    ("memif", "dsr_l2, 1,000,000 flows"): [_least("ratio", 0.6)],
    ("memif", "dsr_l2, 10,000,000 flows"): [_least("ratio", 0.4)],
    ("memif", "ipip, 64,000 flows, beside dsr_l2"): [_least("ratio", 0.8)],
    ("memif", "full_nat, 64,000 flows, beside dsr_l2"): [_least("ratio", 0.65)],
    ("new_flows", "dsr_l2, all new"): [_least("ratio", 0.5), _least("median", 5)],
    ("new_flows", "dsr_l2, all new, a full table"): [_least("ratio", 0.5), _least("median", 5)],
    ("new_flows", "established flows whose entries those took"): [_most("median", 0)],
    ("new_flows", "full_nat, all new"): [_least("median", 2)],
    ("workers", "two, 2,000 flows each"): [_least("ratio", 1.8)],
    ("workers", "two, 64,000 flows each"): [_least("ratio", 1.8)],
    ("engine", "memory of 10,000,000 flows"): [_most("median", 128)],
    ("maglev", "BuildTable/entries:65537/backends:1000/weights:1"): [_most("median", 1)],
    ("maglev", "BuildTable/entries:655373/backends:1000/weights:1"): [_most("median", 15)],
    ("publish", "HealthToWorkers/pools:1000/backends:10/busy:1"): [_most("median", 2)],
    ("publish", "HealthToKernel/pools:1000/backends:10"): [_most("median", 5)],
}

# The same for all rows of a group that match: the first one that does.
PATTERNS = {
    "xdp": ((r"established/.*/flows:\d{5,}/room:1000000$", [_most("ratio", 0.7)]),
            (r"established/.*/flows:(64000/room:128000|1000000/room:2000000)$", [_most("ratio", 0.5)]),
            (r"new/", [_most("ratio", 0.5)])),
    "peers": ((r"new/.*/(used|full)$", [_most("ratio", 0.333)]),
              (r"established/.*/flows:\d{1,5}/room:(2|2000|128000)$", [_most("ratio", 0.333)]),
              (r"new/|established/.*/room:1000000$|not_ours/", [_most("ratio", 0.5)])),
}


def add(rows, groups):
    """Tells each row what is asked for of it; returns words for what is asked of rows of these groups that are not."""
    found = {(row["group"], row["name"]): row for row in rows}
    for key, row in found.items():
        asked = GOALS.get(key) or next((asked for pattern, asked in PATTERNS.get(row["group"], ())
                                        if re.match(pattern, row["name"])), None)
        if asked:
            row["asked"] = asked
    return [f"{group}: no row is called {name}, of which something is asked" for group, name in GOALS
            if group in groups and (group, name) not in found]


def holds(row):
    """Whether all that is asked for is there."""
    return all(row[asked["of"]] >= asked["least"] if "least" in asked else row[asked["of"]] <= asked["most"]
               for asked in row["asked"])
