"""What is asked, and what the right answers are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import onnxport
from onnxport.bench.judging import Exactly, difference
from onnxport.bench.questions import read_questions
from onnxport.errors import ModelFileError
from tests.check.tampering import with_selftest
from tests.server import models

MADE = [models.iris(), models.every_kind(), models.odd_names(), models.reciprocal()]


@pytest.mark.parametrize("made", MADE, ids=lambda made: made.name)
def test_the_models_own_answers_are_right(tmp_path: Path, made: models.Made) -> None:
    path = models.write_to(tmp_path, made)
    model, questions = onnxport.load(path), read_questions(path, 1)
    assert [json.loads(question.body) for question in questions.asked] == list(made.rows)
    assert (questions.name, questions.left_out) == (made.name, 0)
    for question in questions.asked:
        answer = json.loads(model.predict_json(question.body))
        assert difference(question.expected, answer, questions.tolerance) == ""


def test_a_label_is_expected_exactly(tmp_path: Path) -> None:
    [question] = read_questions(models.write_to(tmp_path, models.odd_names()), 1).asked
    assert question.expected["prediction"] in (Exactly(3), Exactly(5), Exactly(8))


@pytest.mark.parametrize("rows", [2, 5])
def test_several_rows_go_out_as_a_list_that_begins_with_each(tmp_path: Path, rows: int) -> None:
    path = models.write_to(tmp_path, models.iris())
    model, questions = onnxport.load(path), read_questions(path, rows)
    asked = [json.loads(question.body) for question in questions.asked]
    assert [len(body) for body in asked] == [rows, rows]
    assert asked[0][:2] == asked[1][1::-1] == list(models.iris().rows)
    for question in questions.asked:
        answer = json.loads(model.predict_json(question.body))
        assert difference(question.expected, answer, questions.tolerance) == ""


def test_bodies_stay_within_memory(tmp_path: Path) -> None:
    path = models.write_to(tmp_path, models.iris())
    assert len(read_questions(path, 100, most_bytes=1000).asked) == 1
    assert len(read_questions(path, 100).asked) == 2


def test_a_row_that_the_model_refuses_is_left_out(tmp_path: Path) -> None:
    """The city of the second row becomes one that the estimator has never seen, which the graph itself takes."""
    path = models.write_to(tmp_path, models.every_kind())

    def edit(selftest: dict[str, dict[str, list[object]]]) -> None:
        selftest["inputs"]["city"][1] = "Rome"

    other = with_selftest(path, tmp_path / "other.onnx", edit)
    questions = read_questions(other, 1)
    assert (len(questions.asked), questions.left_out) == (1, 1)


def test_a_model_that_refuses_them_all(tmp_path: Path) -> None:
    path = models.write_to(tmp_path, models.every_kind())

    def edit(selftest: dict[str, dict[str, list[object]]]) -> None:
        selftest["inputs"]["city"] = ["Rome", "Rome"]

    with pytest.raises(ModelFileError, match="refuses all rows of its own self-test"):
        read_questions(with_selftest(path, tmp_path / "other.onnx", edit), 1)
