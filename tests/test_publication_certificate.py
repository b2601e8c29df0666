"""Somebody who has a publication, and the labels of those who certified it, counts the run's own certificate."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

import fl_tiprdc.commands.audit as command
from fl_tiprdc.config import Point
from fl_tiprdc.data.partition import partition
from fl_tiprdc.data.publication_store import CODEBOOK, read_published_codes, read_store
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.certificate_file import CERTIFICATE, read_certificate
from fl_tiprdc.evaluation.certified import certify_release
from fl_tiprdc.experiment.outcome import DELTA, release_folder
from fl_tiprdc.federated.client_store import certifying_people, persons_of
from fl_tiprdc.seeding import derive
from tests.coded_crowd import CODES
from tests.conftest import adult
from tests.test_coded_modalities import run_on


def test_counts_of_a_publication_give_the_certificate_of_its_run(tmp_path, capsys):
    population = adult()
    crowd = population.contributors
    outcome, experiment = run_on(population, tmp_path, settings=("federated",), lambdas=(1.0,))
    (certified,) = outcome.certified
    folder = release_folder(tmp_path / "publication", "federated", Point("coded", 1.0, 0))

    parts = partition(crowd.private, experiment.clients, experiment.partition, 0, crowd.participant)
    share, secrets = experiment.method_config("coded").coding.certifying, derive(0, "client-secrets")
    certifies = [
        certifying_people(persons, derive(secrets, "client", i), share)
        for i, persons in enumerate(persons_of(crowd.participant, parts))
    ]
    client, record, _ = read_store(folder)
    rows = np.array([parts[c][r] for c, r in zip(client, record, strict=True)])
    taken = np.array([certifies[c][r] for c, r in zip(client, record, strict=True)])
    alphabet = pq.read_table(folder / CODEBOOK).num_rows
    assert alphabet == CODES
    sex, codes = crowd.private[rows[taken], 0], read_published_codes(folder)[taken]
    counts = np.bincount(sex * alphabet + codes, minlength=2 * alphabet).reshape(2, alphabet)

    delta = DELTA / experiment.certificates()
    again = certify_release(("federated", "coded", 1.0, 0), counts, crowd.description.attributes, delta)
    assert again.as_record() == certified.as_record()
    assert again.certificates["sex"].sentence() in (folder / "README.md").read_text().replace("\\", "")

    # without a label of anybody: the counts came with the publication
    told = read_certificate(folder)
    assert told is not None
    assert told.as_record() == certified.as_record()
    command.main([str(folder)])
    says = " ".join(capsys.readouterr().out.split())
    assert f"computed again from its counts: sex: {again.certificates['sex'].sentence()}" in says
    assert again.certificates["sex"].note in says
    with pytest.raises(InputError, match="--private needs --labels"):
        command.main([str(folder), "--private", "sex"])

    path = folder / CERTIFICATE
    whole = json.loads(path.read_text())

    def with_counts(change):
        (sex,) = whole["attributes"]
        return json.dumps({**whole, "attributes": [{**sex, "counts": change(sex["counts"])}]})

    better = {**whole, "certificate": {**whole["certificate"], "codes": 2}}
    for damaged, message in (
        (json.dumps(better), "says what its counts don't"),
        (with_counts(lambda counts: counts[:1]), "its counts are no table of classes and codes"),
        (with_counts(lambda counts: [row[1:] for row in counts]), "the codebook beside it has"),
        (with_counts(lambda counts: [[10**30, *row[1:]] for row in counts]), "is no certificate: attributes.0.counts"),
        (json.dumps({**whole, "delta": 0}), "is no certificate: delta: "),
        ("{", "is no certificate: the file: "),
    ):
        path.write_text(damaged)
        with pytest.raises(InputError, match=message):
            command.main([str(folder)])
    path.unlink()
    with pytest.raises(InputError, match="--labels is missing"):
        command.main([str(folder)])
    with pytest.raises(InputError, match="is not there"):
        command.main([str(folder / "nowhere")])
