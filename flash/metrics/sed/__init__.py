"""SED: the entropy a network's convolutions read and write at initialisation.

``score_network`` scores one ``Network``; ``flash.metrics.rank`` scores designs of a space and
tabulates SED for the optimizers. Definition and derivation: ``SED.md`` beside this file.
"""

from __future__ import annotations

from flash.metrics.sed.explain import LayerEntropy, layer_entropies
from flash.metrics.sed.score import Score, Scores, score_network

__all__ = ["LayerEntropy", "Score", "Scores", "layer_entropies", "score_network"]
