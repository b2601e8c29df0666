"""Somebody who has a publication, and the labels of those who certified it, counts the run's own certificate."""

import numpy as np
import pyarrow.parquet as pq

from fl_tiprdc.config import Point
from fl_tiprdc.data.partition import partition
from fl_tiprdc.data.publication_store import CODEBOOK, read_published_codes, read_store
from fl_tiprdc.evaluation.certified import certify_release
from fl_tiprdc.experiment.outcome import DELTA, release_folder
from fl_tiprdc.federated.client_store import certifying_people, person_of
from fl_tiprdc.seeding import derive
from tests.coded_crowd import CODES, adult
from tests.test_coded_modalities import run_on


def test_counts_of_a_publication_give_the_certificate_of_its_run(tmp_path):
    population = adult()
    crowd = population.contributors
    outcome, experiment = run_on(population, tmp_path, settings=("federated",), lambdas=(1.0,))
    (certified,) = outcome.certified
    folder = release_folder(tmp_path / "publication", "federated", Point("coded", 1.0, 0))

    parts = partition(crowd.private, experiment.clients, experiment.partition, 0, crowd.participant)
    share, secrets = experiment.method_config("coded").coding.certifying, derive(0, "client-secrets")
    certifies = [
        certifying_people(person_of(crowd.participant, part), derive(secrets, "client", i), share)
        for i, part in enumerate(parts)
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
