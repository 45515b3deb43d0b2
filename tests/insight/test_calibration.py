import numpy as np
import pytest

from charloom.insight.calibration import BINS, calibration, reliability


def test_predictions_that_are_right_as_often_as_they_say():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.2, 1, 60_000)
    found = reliability(confidence, random.random(60_000) < confidence)
    assert len(found.right) == BINS
    assert found.error < 0.01
    assert found.tendency == "well calibrated"
    assert found.accuracy == pytest.approx(0.6, abs=0.01)
    assert (np.diff(found.confidence) > 0).all()


@pytest.mark.parametrize(("power", "tendency"), [(2, "overconfident"), (0.5, "underconfident")])
def test_predictions_that_are_right_less_or_more_often(power, tendency):
    random = np.random.default_rng(0)
    confidence = random.random(60_000)
    found = reliability(confidence, random.random(60_000) < confidence**power)
    assert found.error == pytest.approx(1 / 6, abs=0.01)  # the integral of |x − x²|, and of |√x − x|
    assert found.tendency == tendency


def test_a_model_that_always_expects_a(constant):
    """Sure to 80 %, on a text in which the a's are as many, or only half."""
    generator = constant({"a": 0.8, "b": 0.2})
    honest = calibration(generator, ["aaaab" * 200])
    assert (honest.characters, honest.accuracy) == (1000, 0.8)
    assert honest.confidence == pytest.approx(np.full(BINS, 0.8), abs=1e-5)
    assert honest.tendency == "well calibrated"
    other = calibration(generator, ["ab" * 300, "", "ba" * 200])
    assert (other.characters, other.accuracy) == (1000, 0.5)
    assert other.error == pytest.approx(0.3, abs=0.01)
    assert other.tendency == "overconfident"


def test_without_bos_the_first_character_is_not_predicted(constant):
    assert calibration(constant({"a": 0.8, "b": 0.2}, ()), ["aaa", "b"]).characters == 2


def test_nothing_to_predict_is_no_error(constant):
    found = calibration(constant({"a": 0.8, "b": 0.2}), [])
    assert (found.characters, found.error, found.to_json()["right"]) == (0, 0, [])
