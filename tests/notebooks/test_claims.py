"""claims.yml의 주장마다 노트북에 실험이 꼭 하나씩 있는가."""

import notebook_rules as rules


def test_every_claim_is_made_exactly_once():
    assert rules.claims(rules.NOTEBOOKS) == []
