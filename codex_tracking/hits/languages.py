"""The visitor's language, from ``Accept-Language``."""

from __future__ import annotations

import re
from functools import lru_cache

LANGUAGE = re.compile(
    r"\s*([a-zA-Z]{2,3})(?:[-_][a-zA-Z0-9]{1,8})*\s*(?:;\s*[qQ]=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?"
)
LANGUAGE_LIMIT = 200
"""Characters of ``Accept-Language`` that are read."""

FOLDINGS = """
no:nb iw:he in:id tl:fil ji:yi jw:jv mo:ro sh:sr bh:bho tw:ak und: mul: zxx: eng:en deu:de ger:de fra:fr
fre:fr spa:es ita:it por:pt rus:ru ukr:uk pol:pl nld:nl dut:nl swe:sv dan:da nor:nb nob:nb nno:nn fin:fi
isl:is ice:is ces:cs cze:cs slk:sk slo:sk slv:sl hrv:hr scr:hr srp:sr scc:sr bos:bs bul:bg mkd:mk mac:mk
ron:ro rum:ro hun:hu ell:el gre:el tur:tr lit:lt lav:lv lvs:lv est:et ekk:et sqi:sq alb:sq als:sq cat:ca
eus:eu baq:eu glg:gl gle:ga cym:cy wel:cy heb:he ara:ar arb:ar fas:fa per:fa pes:fa prs:fa urd:ur hin:hi
ben:bn pan:pa guj:gu mar:mr tam:ta tel:te kan:kn mal:ml nep:ne npi:ne sin:si ori:or ory:or zho:zh chi:zh
cmn:zh jpn:ja kor:ko vie:vi tha:th ind:id msa:ms may:ms zsm:ms jav:jv khm:km lao:lo mya:my bur:my mon:mn
khk:mn kaz:kk uzb:uz uzn:uz aze:az azj:az hye:hy arm:hy kat:ka geo:ka swa:sw swh:sw amh:am som:so afr:af
zul:zu xho:xh aka:ak twi:ak mlg:mg plt:mg epo:eo lat:la yid:yi ydd:yi tgl:fil kur:ku kmr:ku grn:gn gug:gn
que:qu quz:qu
"""
FOLDED = dict(pair.split(":") for pair in FOLDINGS.split())
"""Old, general and three-letter tags -> the ones that browsers send today, as CLDR does; else one has two rows."""


@lru_cache(maxsize=4096)
def language_of(accept_language: str) -> str:
    """Return the visitor's first language as its primary tag in lower case: ``pt`` for ``pt-BR,pt;q=0.9``.

    Returns:
        Two or three letters (ISO 639); an empty string for ``*``, nothing, and what is not a language list.
    """
    best, weight = "", 0.0
    for part in accept_language[:LANGUAGE_LIMIT].split(","):
        found = LANGUAGE.fullmatch(part)
        # A weight of 0 means "not acceptable" (RFC 9110, section 12.4.2); of equal ones the first counts.
        if found and float(found[2] or 1) > weight:
            best, weight = found[1].lower(), float(found[2] or 1)
    return FOLDED.get(best, best)
