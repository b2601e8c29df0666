"""The experiment description: strict, frozen, and clear about what is wrong."""

import tomllib

import pytest
import tomli_w
from pydantic import BaseModel, ValidationError

from fl_tiprdc.config import (
    QUICK,
    AuditConfig,
    CentralizedConfig,
    Experiment,
    FederationConfig,
    NetworkConfig,
    ProtectionConfig,
    build_experiment,
    merge,
    read_toml,
)
from fl_tiprdc.errors import InputError
from fl_tiprdc.experiment.run_folder import config_text
from fl_tiprdc.methods import METHODS, MethodConfig

MODELS = (Experiment, NetworkConfig, MethodConfig, CentralizedConfig, FederationConfig, ProtectionConfig, AuditConfig)


def complaint(values) -> str:
    with pytest.raises(InputError) as error:
        build_experiment(values)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_defaults_are_the_main_job():
    experiment = build_experiment({})
    assert (experiment.dataset, experiment.private, experiment.clients) == ("adult", (), 100)
    assert experiment.partition == "iid"
    assert experiment.methods == ("tiprdc", "tiprdc+", "coded")
    assert len(experiment.lambdas) == 4
    assert experiment.method_config("tiprdc") == METHODS["tiprdc"].settings


@pytest.mark.parametrize("model", MODELS)
def test_every_field_has_a_description(model):
    for name, field in model.model_fields.items():
        table = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        assert field.annotation.__doc__ if table else field.description, name  # a table describes itself


@pytest.mark.parametrize("model", MODELS)
def test_frozen(model):
    first = next(iter(model.model_fields))
    with pytest.raises(ValidationError, match="frozen"):
        setattr(model(), first, 1)


@pytest.mark.parametrize(
    ("values", "key", "some_allowed"),
    [
        ({"client": 3}, "client", ("clients", "lambdas", "federation")),
        ({"federation": {"round": 3}}, "federation.round", ("rounds", "local_epochs")),
        ({"network": {"width": 3}}, "network.width", ("representation", "critic_embedding")),
        ({"centralized": {"rounds": 3}}, "centralized.rounds", ("steps", "batch_size")),
        ({"audit": {"attacker": ["mlp"]}}, "audit.attacker", ("attackers", "probes")),
        ({"method": {"tiprdc+": {"sigma": 1}}}, "method.tiprdc+.sigma", ("sigma_low", "sigma_high")),
        ({"method": {"mine": {"sigma": 1}}}, "method.mine.sigma", ("sigma_low", "sigma_high")),
    ],
)
def test_an_unknown_key_is_named_with_what_is_allowed(values, key, some_allowed):
    message = complaint(values)
    assert message.startswith(f"unknown setting '{key}': choose from ")
    for name in some_allowed:
        assert name in message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"clients": "abc"}, "clients is 'abc': must be a whole number"),
        ({"clients": 2.5}, "clients is 2.5: must be a whole number"),
        ({"clients": [1]}, "clients is [1]: must be a whole number"),
        ({"clients": 0}, "clients is 0: must be at least 1"),
        ({"held_out": 0}, "held_out is 0: must be above 0"),
        ({"held_out": 1}, "held_out is 1: must be below 1"),
        ({"held_out": "half"}, "held_out is 'half': must be a number"),
        ({"lambdas": [0.5, 1.5]}, "lambdas has 1.5: must be at most 1"),
        ({"lambdas": [-0.1]}, "lambdas has -0.1: must be at least 0"),
        ({"lambdas": [float("nan")]}, "lambdas has nan: must be a finite number"),
        ({"lambdas": []}, "lambdas is []: must have at least 1 value"),
        ({"lambdas": 0.5}, "lambdas is 0.5: must be a list"),
        ({"private": "sex"}, "private is 'sex': must be a list"),
        ({"seeds": [-1]}, "seeds has -1: must be at least 0"),
        ({"seeds": ["one"]}, "seeds has 'one': must be a whole number"),
        ({"dataset": 3}, "dataset is 3: must be text"),
        ({"ray_address": "here"}, "ray_address is 'here': must be auto, HOST:PORT or ray://HOST:PORT"),
        (
            {"license": "MIT"},
            "license is 'MIT': must be lower-case letters, digits, dots and dashes, such as cc-by-4.0",
        ),
        ({"federation": 3}, "federation is 3: must be a table of settings"),
        ({"method": 3}, "method is 3: must be a table of settings"),
        ({"method": {"tiprdc+": 3}}, "method.tiprdc+ is 3: must be a table of settings"),
        ({"method": {"tiprdc+": {"channel": "maybe"}}}, "method.tiprdc+.channel is 'maybe': must be true or false"),
        ({"network": {"extractor_hidden": [64, 0]}}, "network.extractor_hidden has 0: must be at least 1"),
        ({"federation": {"learning_rate": 0}}, "federation.learning_rate is 0: must be above 0"),
        ({"method": {"tiprdc+": {"beta1": 1}}}, "method.tiprdc+.beta1 is 1: must be below 1"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(values, message):
    assert complaint(values) == message


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"methods": ["tiprdc", "magic"]},
            "unknown method 'magic': choose from coded, coded-x, maxmi, pat, tappfl, tiprdc, tiprdc+",
        ),
        (
            {"methods": ["magic"], "method": {"mine": {}}},
            "unknown method 'magic': choose from coded, coded-x, maxmi, mine, pat, tappfl, tiprdc, tiprdc+",
        ),
        ({"lambdas": [0.5, 0.1, 0.5]}, "lambdas has a value twice: 0.5, 0.1, 0.5"),
        # folders and tables write six digits
        ({"lambdas": [0.5, 0.5000001]}, "lambdas has a value twice: 0.5, 0.5000001"),
        ({"baselines": ["a", "a"]}, "baselines has a value twice: a, a"),
        ({"seeds": [1, 1]}, "seeds has a value twice: 1, 1"),
        ({"private": ["sex", "sex"]}, "private has a value twice: sex, sex"),
        ({"methods": ["tiprdc", "tiprdc"]}, "methods has a value twice: tiprdc, tiprdc"),
        (
            {"clients": 5, "federation": {"clients_per_round": 6}},
            "clients_per_round is 6 but there are 5 clients",
        ),
        (
            {
                "clients": 9,
                "federation": {"codebook_clients": 4, "coupling_clients": 6},
                "protection": {"secagg": True},
            },
            "secagg: sums over 6 clients and 4 of them differ by those of 2, who wouldn't be hidden: let "
            "codebook_clients be 3 fewer, or as many",
        ),
        (
            {"clients": 5, "federation": {"coupling_clients": 6}},
            "coupling_clients is 6 but there are 5 clients",
        ),
        (
            {"clients": 5, "federation": {"codebook_clients": 4, "coupling_clients": 3}},
            "codebook_clients is 4, more than coupling_clients, 3: a codebook is of some of the clients to whom its "
            "coupling is fitted",
        ),
    ],
)
def test_rules_across_values(values, message):
    assert complaint(values) == message


def test_a_method_entry_changes_only_the_keys_it_gives():
    experiment = build_experiment(
        tomllib.loads('[method."tiprdc+"]\nsigma_high = 1\n[method.tiprdc]\nchannel = true\n')
    )
    assert experiment.method_config("tiprdc+") == METHODS["tiprdc+"].settings.model_copy(update={"sigma_high": 1.0})
    changed = experiment.method_config("tiprdc")
    assert (changed.channel, changed.exchange, changed.privacy) == (True, "weights", "negated-cross-entropy")
    assert METHODS["tiprdc"].settings.channel is False  # the registry stays as it is


def test_a_method_of_ones_own():
    experiment = build_experiment({"methods": ["mine"], "method": {"mine": {"information": "infonce"}}})
    assert experiment.method_config("mine") == MethodConfig(information="infonce")


def test_a_method_of_ones_own_starts_from_its_base(tmp_path):
    values = {"methods": ["mine"], "method": {"mine": {"base": "coded", "coding": {"codes": 64}}}}
    mine, coded = build_experiment(values).method_config("mine"), METHODS["coded"].settings
    assert coded.coding is not None
    assert mine == coded.model_copy(update={"coding": coded.coding.model_copy(update={"codes": 64})})
    (tmp_path / "config.toml").write_text(config_text(build_experiment(values)), encoding="utf-8")
    assert build_experiment(read_toml(tmp_path / "config.toml")) == build_experiment(values)
    assert values["method"]["mine"] == {"base": "coded", "coding": {"codes": 64}}  # what is passed stays as it is


@pytest.mark.parametrize("base", ["magic", "mine", "", 3, ["coded"]])
def test_a_base_is_a_method_that_there_is(base):
    message = f"method.mine.base is {base!r}: choose from {', '.join(METHODS)}"
    assert complaint({"methods": ["mine"], "method": {"mine": {"base": base}}}) == message


def test_the_channels_noise_rises_geometrically_with_lambda():
    method = MethodConfig(sigma_low=0.1, sigma_high=1.6)
    # 0.1 · 16^λ
    assert [method.sigma(lam) for lam in (0, 0.25, 0.5, 1)] == pytest.approx([0.1, 0.2, 0.4, 1.6])
    assert MethodConfig(sigma_low=0, sigma_high=2).sigma(0.25) == 0.5  # no geometric path from 0: a straight one
    assert MethodConfig(channel=False).sigma(0.7) == 0


def test_merge_unites_tables_and_the_later_wins():
    base = {"a": 1, "federation": {"rounds": 5, "timeout": 9.0}, "lambdas": (0.1, 0.2)}
    over = {"federation": {"rounds": 7}, "lambdas": (0.3,), "b": 2}
    assert merge(base, over) == {
        "a": 1,
        "b": 2,
        "federation": {"rounds": 7, "timeout": 9.0},
        "lambdas": (0.3,),  # a list is one value
    }
    assert base == {"a": 1, "federation": {"rounds": 5, "timeout": 9.0}, "lambdas": (0.1, 0.2)}
    assert merge({"a": {"b": 1}}, {"a": 2}) == {"a": 2}


def test_quick_is_a_valid_and_smaller_experiment():
    quick, full = build_experiment(QUICK), build_experiment({})
    assert quick.federation.rounds < full.federation.rounds
    assert quick.centralized.steps < full.centralized.steps
    assert len(quick.lambdas) < len(full.lambdas)


def test_an_experiment_written_as_toml_reads_back_the_same(tmp_path):
    experiment = build_experiment(
        {
            "lambdas": [0, 1],
            "methods": ["tiprdc", "mine"],
            "method": {"tiprdc": {"channel": True}, "mine": {"information": "jsd-pairs"}},
            "network": {"extractor_hidden": []},
            "dials": {"gaussian-noise": [1.0]},
            "data": {"root": "/somewhere"},
        }
    )
    path = tmp_path / "config.toml"
    path.write_text(tomli_w.dumps(experiment.model_dump(mode="json", exclude_none=True)))
    assert build_experiment(read_toml(path)) == experiment


def test_a_config_that_cannot_be_read(tmp_path):
    bad, binary = tmp_path / "bad.toml", tmp_path / "binary.toml"
    bad.write_text("clients = = 3\n")
    binary.write_bytes(b"\xff\xfe\x00")
    for path, why in (
        (tmp_path / "missing.toml", "cannot read config '{}': No such file or directory"),
        (tmp_path, "cannot read config '{}': Is a directory"),
        (bad, "config '{}' is no valid TOML: "),
        (binary, "config '{}' is no valid TOML: "),
    ):
        with pytest.raises(InputError) as error:
            read_toml(path)
        assert str(error.value).startswith(why.format(path))
        assert "\n" not in str(error.value)


def test_noise_goes_with_methods_that_count_no_codes():
    noisy = {"noise": 1.0}
    with pytest.raises(InputError, match=r"^noise bounds what updates tell, and method coded also counts codes"):
        build_experiment({"methods": ["tiprdc+", "coded"], "protection": noisy}).require_no_noise_on_counts()
    build_experiment({"methods": ["tiprdc+"], "protection": noisy}).require_no_noise_on_counts()


def test_releases_that_share_a_certificates_error_are_counted():
    def certified(**changes: object) -> int:
        return build_experiment({"methods": ("tiprdc+", "coded"), "lambdas": (0.5, 0.9), **changes}).certificates()

    assert certified() == 4  # two values of lambda, centralized and federated
    assert certified(settings=("federated",), seeds=(0, 1, 2)) == 6
    assert certified(methods=("coded", "coded-x")) == 8
    assert certified(methods=("tiprdc+",)) == 0
