"""The transformer in scikit-learn's pipelines and searches: what is hidden is what was meant, or a line says so."""

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fl_tiprdc.errors import InputError
from fl_tiprdc.extractor.transformer import TiprdcTransformer
from fl_tiprdc.notices import DataNotice

TINY = {"steps": 2, "representation": 4, "hidden": (8,), "random_state": 0}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3))
SEX, INCOME = RNG.choice(["f", "m"], 200), RNG.choice(["high", "low"], 200)


@pytest.fixture
def routing():
    """Scikit-learn's metadata routing, on for a test."""
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def before_a_classifier(**settings: object):
    return make_pipeline(StandardScaler(), TiprdcTransformer(**{**TINY, **settings}), LogisticRegression())


def hidden(pipeline) -> list[tuple[str, ...]]:
    return pipeline.named_steps["tiprdctransformer"].classes_


def test_a_pipeline_that_would_hide_its_task_says_so_in_one_line():
    with pytest.warns(DataNotice, match=r"hides y; .* write fit\(X, y, STEP__private=LABELS\)") as notices:
        before_a_classifier().fit(X, INCOME)
    assert len(notices) == 1
    assert "\n" not in str(notices[0].message)


def test_what_the_line_says_to_write_hides_the_private_labels_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataNotice)
        pipeline = before_a_classifier().fit(X, INCOME, tiprdctransformer__private=SEX)
        alone = TiprdcTransformer(**TINY).fit_transform(X, private=SEX)
        assert np.array_equal(alone, TiprdcTransformer(**TINY).fit(X, SEX).transform(X))  # of fit, y is plainly meant
    assert hidden(pipeline) == [("f", "m")]
    assert list(pipeline.classes_) == ["high", "low"]


def test_routed_labels_are_hidden_and_a_task_alone_is_refused(routing):
    pipeline = before_a_classifier().fit(X, INCOME, private=SEX)
    assert hidden(pipeline) == [("f", "m")]
    assert pipeline.predict(X).shape == (200,)
    with pytest.raises(InputError, match=r"^fit_transform\(X, y\) came without private labels.* give private=LABELS"):
        before_a_classifier().fit(X, INCOME)


def test_a_request_may_be_written_out_and_may_have_a_name_of_its_own(routing):
    transformer = TiprdcTransformer(**TINY).set_fit_request(private=True)
    assert hidden(make_pipeline(transformer, LogisticRegression()).fit(X, INCOME, private=SEX)) == [("f", "m")]
    transformer.set_fit_request(private="sex").set_transform_request(private="sex")
    copy = clone(make_pipeline(transformer, LogisticRegression()))
    assert hidden(copy.fit(X, INCOME, sex=SEX)) == [("f", "m")]


def test_private_labels_win_and_y_is_not_looked_at():
    by_itself = TiprdcTransformer(**TINY).fit(X, SEX).transform(X)
    for task in (None, INCOME, np.full(200, np.nan), ["too", "few"]):
        assert np.array_equal(TiprdcTransformer(**TINY).fit_transform(X, task, private=SEX), by_itself)


@pytest.mark.parametrize("routed", [False, True])
def test_a_search_splits_private_labels_with_the_records(routed):
    name = "private" if routed else "tiprdctransformer__private"
    with sklearn.config_context(enable_metadata_routing=routed), warnings.catch_warnings():
        warnings.simplefilter("error", DataNotice)
        grid = {"tiprdctransformer__lam": [0.2, 0.8]}
        search = GridSearchCV(before_a_classifier(), grid, cv=2, error_score="raise").fit(X, INCOME, **{name: SEX})
    assert hidden(search.best_estimator_) == [("f", "m")]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# ---- codes, which look at the private labels of what they release


@pytest.fixture(scope="module")
def crowd() -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    people = pd.DataFrame(rng.normal(size=(1600, 4)), columns=["a", "b", "c", "d"])
    people["sex"] = rng.choice(["f", "m"], 1600)
    return people, (people["b"] > 0).to_numpy()


def test_codes_in_a_pipeline_get_the_labels_of_what_is_predicted(crowd, routing):
    people, task = crowd
    x, sex = people.drop(columns="sex").to_numpy(), people["sex"].to_numpy()
    pipeline = before_a_classifier(method="coded").fit(x, task, private=sex)
    assert hidden(pipeline) == [("f", "m")]
    predicted = pipeline.predict(x, private=sex)
    assert np.array_equal(pipeline.predict(x[:9], private=sex[:9]), predicted[:9])
    assert pipeline.score(x, task, private=sex) == (predicted == task).mean()
    with pytest.raises(InputError, match=r"^method coded looks at .*: transform\(X, private\); in a Pipeline .*\)$"):
        pipeline.predict(x)


def test_a_search_over_codes_scores_with_the_labels_of_each_fold(crowd, routing):
    people, task = crowd
    x, sex = people.drop(columns="sex").to_numpy(), people["sex"].to_numpy()
    search = GridSearchCV(
        before_a_classifier(method="coded"), {"tiprdctransformer__lam": [0.5]}, cv=2, error_score="raise"
    ).fit(x, task, private=sex)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_codes_take_the_private_column_of_a_data_frame_that_has_it(crowd):
    people, task = crowd
    transformer = TiprdcTransformer(**{**TINY, "method": "coded"})
    pipeline = make_pipeline(transformer, LogisticRegression())
    pipeline.fit(people, task, tiprdctransformer__private=people["sex"])
    wanted = pipeline[0].transform(people.drop(columns="sex").assign(sex="f"), people["sex"])
    assert np.array_equal(pipeline[0].transform(people), wanted)
    assert np.array_equal(pipeline.predict(people), pipeline[-1].predict(wanted))  # no routing needed


# ---- what a person sees


def test_a_pipeline_names_and_shows_its_step():
    pipeline = make_pipeline(TiprdcTransformer(**TINY), StandardScaler()).set_output(transform="pandas")
    people = pd.DataFrame(X, columns=["a", "b", "c"], index=range(500, 700))
    z = pipeline.fit(people, INCOME, tiprdctransformer__private=SEX).transform(people)
    assert list(z.columns) == [f"tiprdctransformer{i}" for i in range(4)] == list(pipeline.get_feature_names_out())
    assert list(z.index) == list(people.index)
    assert pipeline.n_features_in_ == 3
    assert list(pipeline.feature_names_in_) == ["a", "b", "c"]
    page = pipeline._repr_html_()
    assert "TiprdcTransformer" in page
    assert "lam" in page
