"""Words of the grammar of statements: English, German, French, Spanish, Italian and Dutch."""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


CONTRAST = _set("but however though although aber sondern jedoch mais pero sino però")
"""They end a sentence as a full stop does."""
OR = _set("or nor oder noch ou ni o né of")
AND = _set("and und et y e en plus sowie")
NOT = _set(
    """
    no not none never neither nor without except excluding excepting minus nothing
    don't doesn't didn't won't wouldn't can't cannot isn't aren't dont cant
    nicht kein keine keinen keinem keiner keines nie niemals ohne außer ausser nichts
    sans pas aucun aucune jamais sauf hormis
    sin nada nunca excepto ningún ninguna
    non senza niente mai tranne eccetto nessun nessuna
    geen niet zonder behalve nooit
    """
)
HATE = _set(
    """
    hate hates hated dislike dislikes avoid loathe detest despise skip exclude
    hasse hass verabscheue vermeide déteste detesto odio evita evitar haat
    """
)
WANT = _set(
    """
    love loves like likes want wants prefer enjoy adore please give show
    mag mögen möchte liebe will bitte lieber aime veux préfère adore
    quiero prefiero gusta voglio preferisco wil graag
    """
)
ONLY = _set("only just nur bloß seulement solo sólo alleen")
WITHOUT = _set("without ohne sans sin senza zonder")
APART = (("apart", "from"), ("other", "than"), ("abgesehen", "von"), ("à", "part"))
"""Two words that negate together."""
JOINED = (("love stor", "love-stor"), ("love song", "love-song"))
"""Beginnings of words in which love is no verb, and how they are read."""
EMPTY = CONTRAST.union(
    OR,
    AND,
    WANT,
    _set(
        """
        i i'm i'd i'll i've me my we you am is are be do does would could some any a an
        the of to that which with too all thing things stuff kind into for really very
        much also if at it they anything everything something from watch read
        ich mir mich wir gern gerne etwas alles das die der den mit so sehr von auch
        je j'aime me de du des la le les un une ne n'aime yo que el los las con il lo
        """
    ),
)
"""They say nothing of what is wished."""
