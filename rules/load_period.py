"""Loading periods: the value of `per` into a checked Per.

Owns its spelling.
"""

from difflib import get_close_matches

from rules.document import Node, Text
from rules.fields import Fields
from rules.period import Per, Unit, day_of_month, day_of_year, zones
from rules.quote import quoted

_ANCHORS = {
    Unit.MONTH: "write a day of the month, 1 to 31, or {attribute: NAME}",
    Unit.YEAR: 'write a day of the year such as "04-01", or {attribute: NAME}',
}


def read_per(node: Node, fields: Fields) -> Per | None:
    """Read `month`, or `{month: {zone: Europe/Berlin, anchor: 15}}`; None after noting what is wrong."""
    if isinstance(node, Text):
        unit = fields.choice(node, Unit)
        return None if unit is None else Per(unit)
    units = [unit.value for unit in Unit if unit is not Unit.EVER]
    entries = fields.mapping(node, [], units)
    if entries is None:
        return None
    if len(entries) != 1:
        fields.wrong(node, f"must be a word, or have exactly one of {', '.join(units)}")
        return None
    ((word, value),) = entries.items()
    unit = Unit(word)
    options = fields.mapping(value, [], ["zone", "anchor"] if unit in _ANCHORS else ["zone"])
    if options is None:
        return None
    zone = _zone(options["zone"], fields) if "zone" in options else "UTC"
    per = Per(unit, zone or "UTC")
    anchored = _anchored(per, options["anchor"], fields) if "anchor" in options else per
    return None if zone is None else anchored


def _zone(node: Node, fields: Fields) -> str | None:
    name = fields.text(node)
    if name is None or name in zones():
        return name
    near = get_close_matches(name, sorted(zones()), n=1)
    meant = f"did you mean {quoted(near[0])}?" if near else 'write an IANA name such as "Europe/Berlin"'
    fields.wrong(node, f"{quoted(name)} is not a time zone; {meant}")
    return None


def _anchored(per: Per, node: Node, fields: Fields) -> Per | None:
    wanted = _ANCHORS[per.unit]
    if not isinstance(node, Text):
        entries = fields.mapping(node, ["attribute"])
        name = None if entries is None else fields.attribute(entries["attribute"], ("product", "account", "quantity"))
        return None if name is None else Per(per.unit, per.zone, attribute=name)
    text = fields.text(node)
    start = text and (day_of_year(text) if per.unit is Unit.YEAR else day_of_month(text))
    if text is not None and not start:
        fields.wrong(node, f"{quoted(text)} is not an anchor; {wanted}")
    return Per(per.unit, per.zone, *start) if start else None
