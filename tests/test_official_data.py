"""CelebA, LFW, UTKFace and DIAL from small folders in the official layouts, and images that stay in their files."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.crowd import PADDING, Crowd
from fl_tiprdc.data.datasets import load_population
from fl_tiprdc.data.dial import LONGEST, TWEETS
from fl_tiprdc.data.lazy_images import LazyImages, read_image
from fl_tiprdc.data.official_files import sample_people
from fl_tiprdc.data.partition import partition
from fl_tiprdc.errors import InputError
from fl_tiprdc.notices import DataNotice

CELEBA = [
    "5_o_Clock_Shadow", "Arched_Eyebrows", "Attractive", "Bags_Under_Eyes", "Bald", "Bangs", "Big_Lips", "Big_Nose",
    "Black_Hair", "Blond_Hair", "Blurry", "Brown_Hair", "Bushy_Eyebrows", "Chubby", "Double_Chin", "Eyeglasses",
    "Goatee", "Gray_Hair", "Heavy_Makeup", "High_Cheekbones", "Male", "Mouth_Slightly_Open", "Mustache",
    "Narrow_Eyes", "No_Beard", "Oval_Face", "Pale_Skin", "Pointy_Nose", "Receding_Hairline", "Rosy_Cheeks",
    "Sideburns", "Smiling", "Straight_Hair", "Wavy_Hair", "Wearing_Earrings", "Wearing_Hat", "Wearing_Lipstick",
    "Wearing_Necklace", "Wearing_Necktie", "Young",
]  # fmt: skip
LFW = [  # the first of the official 73
    "Male", "Asian", "White", "Black", "Baby", "Child", "Youth", "Middle Aged", "Senior", "Black Hair", "Blond Hair",
    "Brown Hair", "Bald", "No Eyewear", "Eyeglasses", "Sunglasses", "Mustache", "Smiling",
]  # fmt: skip
PEOPLE = ("Aaron Eckhart", "Abdel Aziz Al-Hakim", "Zico", "Aaron Guiel", "Jose Canseco")  # of 4, 4, 2, 1, 1 images
LFW_ROWS = [(person, image + 1) for person, n in zip(PEOPLE, (4, 4, 2, 1, 1), strict=True) for image in range(n)]
UTK = [(age, row % 2, row % 5) for row, age in enumerate((1, 17, 18, 29, 30, 44, 45, 116, 26, 26, 60, 7))]
IMAGES = 12  # of each data set
BITS = np.random.default_rng(0).integers(2, size=(IMAGES, len(CELEBA)))


def color(row: int) -> tuple[int, int, int]:
    """Tells an image apart, also after JPEG."""
    return (20 * row, 255 - 20 * row, 128)


def shown(crowd: Crowd) -> list[int]:
    """The number of each image, from its color."""
    return np.rint(crowd.x[:][:, 0].mean((1, 2)) / 20).astype(int).tolist()


def paint(path: Path, row: int, size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color(row)).save(path, quality=95)


def bit(row: int, column: int) -> int:
    """Whether image `row` has attribute `column`."""
    return int(BITS[row, column])


def celeba_flag(row: int, name: str) -> int:
    return bit(row, CELEBA.index(name))


def write_celeba(root: Path) -> None:
    names = [f"{row + 1:06d}.jpg" for row in range(IMAGES)]
    for row, name in enumerate(names):
        paint(root / "img_align_celeba" / name, row, (178, 218))
    rows = [
        f"{name} " + " ".join(f"{2 * bit(row, c) - 1:2d}" for c in range(40)) + " " for row, name in enumerate(names)
    ]
    (root / "list_attr_celeba.txt").write_text("\n".join([str(IMAGES), " ".join(CELEBA) + " ", *rows]) + "\n")
    identities = [f"{name} {2880 + row // 3}" for row, name in enumerate(names)]  # four people of three images
    (root / "identity_CelebA.txt").write_text("\n".join(identities) + "\n")
    parts = [f"{name} {min(row // 5, 2)}" for row, name in enumerate(names)]
    (root / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")


def write_lfw(root: Path) -> None:
    lines = ["# lfw_attributes.txt - 73 attributes\t", "#\t" + "\t".join(["person", "imagenum", *LFW])]
    for row, (person, image) in enumerate(LFW_ROWS):
        name = person.replace(" ", "_")
        paint(root / "lfw" / name / f"{name}_{image:04d}.jpg", row, (250, 250))
        scores = [f"{(2 * bit(row, column) - 1) * 1.568346:.6f}" for column in range(len(LFW))]
        lines.append("\t".join([person, str(image), *scores]))
    (root / "lfw_attributes.txt").write_text("\n".join(lines) + "\n")


def utk_name(row: int) -> str:
    age, gender, race = UTK[row]
    return f"{age}_{gender}_{race}_201701161745251{row:02d}.jpg" + (".chip.jpg" if row % 2 else "")


def write_utkface(root: Path) -> None:
    for row in range(IMAGES):
        paint(root / "UTKFace" / utk_name(row), row, (200, 200))


def write_dial(root: Path) -> None:
    (root / "vocab").write_bytes("\n".join(["lol", "<3", "a\u2028b", "é", "smh"]).encode())  # five words, no last end
    tweets = {
        "pos_pos": ["0 1 2", "4", "3 3 3 3"],
        "pos_neg": ["1 1", "2 4 0", "0"],
        "neg_pos": ["4 4 4", "0 0", "1"],
        "neg_neg": ["2", "3 0", " ".join(["1"] * 35)],
    }
    for name, lines in tweets.items():
        (root / name).write_text("\n".join(lines) + "\n")


WRITERS = {"celeba": write_celeba, "lfw": write_lfw, "utkface": write_utkface, "dial": write_dial}
IMAGE_SETS = ("celeba", "lfw", "utkface")


@pytest.fixture
def official(tmp_path):
    """official(dataset) writes a folder in the official layout and returns it."""

    def write(dataset: str) -> Path:
        WRITERS[dataset](tmp_path)
        return tmp_path

    return write


def load(dataset: str, root: Path | None, private: tuple[str, ...] = (), held_out: float = 0.4, **settings):
    return load_population(dataset, private, held_out, DataConfig(root=root, **settings))


def halves(population):
    return population.contributors, population.held_out


@pytest.mark.parametrize("dataset", IMAGE_SETS)
def test_images_stay_in_their_files_and_every_one_is_in_one_half(official, dataset):
    population = load(dataset, official(dataset), size=(10, 8))
    for crowd in halves(population):
        assert isinstance(crowd.x, LazyImages)
        assert crowd.x.shape == (len(crowd), 3, 10, 8)
    assert sorted(shown(population.contributors) + shown(population.held_out)) == list(range(IMAGES))
    assert population.contributors.description.modality == "image"


@pytest.mark.parametrize("dataset", IMAGE_SETS)
def test_images_are_of_a_size_for_a_cpu_unless_told(official, dataset):
    root = official(dataset)
    assert load(dataset, root).contributors.description.shape == (3, 64, 64)
    assert load(dataset, root, size=(218, 178)).contributors.x[:1].shape == (1, 3, 218, 178)


def test_celeba_labels_and_identities_are_those_of_the_files(official):
    population = load("celeba", official("celeba"))
    (male,) = population.contributors.description.attributes
    assert (male.name, male.classes) == ("Male", ("no", "yes"))
    for crowd in halves(population):
        rows = shown(crowd)
        assert crowd.private[:, 0].tolist() == [celeba_flag(row, "Male") for row in rows]
        assert set(crowd.tasks) == {"Smiling", "Gray_Hair", "Young", "Wearing_Lipstick"}
        for name, labels in crowd.tasks.items():
            assert labels.tolist() == [celeba_flag(row, name) for row in rows], name
        assert crowd.participant.tolist() == [2880 + row // 3 for row in rows]
    assert set(population.contributors.participant).isdisjoint(population.held_out.participant)


def test_celeba_clients_may_be_its_identities(official):
    crowd = load("celeba", official("celeba"), held_out=0.25).contributors
    groups = partition(crowd.private, 3, "natural", 0, crowd.participant)
    people = [set(crowd.participant[rows].tolist()) for rows in groups]
    assert [len(group) for group in people] == [1, 1, 1]
    assert len(set.union(*people)) == 3


def test_any_attributes_of_celeba_may_be_private_or_tasks(official):
    crowd = load("celeba", official("celeba"), ("Smiling", "Bald"), tasks=("Male", "Smiling", "Bangs")).contributors
    rows = shown(crowd)
    assert [attribute.name for attribute in crowd.description.attributes] == ["Smiling", "Bald"]
    assert crowd.private.tolist() == [[celeba_flag(row, "Smiling"), celeba_flag(row, "Bald")] for row in rows]
    assert set(crowd.tasks) == {"Male", "Bangs"}  # what is hidden is no task
    assert crowd.tasks["Bangs"].tolist() == [celeba_flag(row, "Bangs") for row in rows]


def test_lfw_labels_are_the_signs_of_the_scores_and_participants_the_names(official):
    population = load("lfw", official("lfw"), tasks=("Middle_Aged", "Smiling"))
    for crowd in halves(population):
        rows = shown(crowd)
        assert crowd.private[:, 0].tolist() == [bit(row, 0) for row in rows]
        assert set(crowd.tasks) == {"Middle_Aged", "Smiling"}
        for name, labels in crowd.tasks.items():
            assert labels.tolist() == [bit(row, LFW.index(name.replace("_", " "))) for row in rows], name
        owners = {(LFW_ROWS[row][0], person) for row, person in zip(rows, crowd.participant.tolist(), strict=True)}
        assert len(owners) == len({name for name, _ in owners}) == len({person for _, person in owners})
    assert set(population.contributors.participant).isdisjoint(population.held_out.participant)


def test_the_usual_tasks_of_lfw_are_among_its_attributes(official):
    assert set(load("lfw", official("lfw")).contributors.tasks) == {"Smiling", "Eyeglasses", "Youth", "Black_Hair"}


@pytest.mark.parametrize("nested", [True, False])
def test_utkface_labels_are_those_of_the_file_names(official, nested):
    root = official("utkface")
    population = load("utkface", root if nested else root / "UTKFace")
    (gender,) = population.contributors.description.attributes
    assert (gender.name, gender.classes) == ("gender", ("female", "male"))
    for crowd in halves(population):
        rows = shown(crowd)
        ages = [UTK[row][0] for row in rows]
        assert crowd.private[:, 0].tolist() == [1 - UTK[row][1] for row in rows]  # the files' 0 is male
        assert set(crowd.tasks) == {"age", "race"}
        assert crowd.tasks["race"].tolist() == [UTK[row][2] for row in rows]
        assert crowd.tasks["age"].tolist() == [(age >= 18) + (age >= 30) + (age >= 45) for age in ages]
        assert len(set(crowd.participant.tolist())) == len(crowd)


def test_utkface_may_lie_once_deeper_than_its_parts(official):
    """As archives unpack that hold a folder of their own name: part1/part1/..."""
    root = official("utkface")
    for part, rows in (("part1", range(7)), ("part2", range(7, len(UTK)))):
        (root / part / part).mkdir(parents=True)
        for row in rows:
            (root / "UTKFace" / utk_name(row)).rename(root / part / part / utk_name(row))
    (root / "UTKFace").rmdir()
    population = load("utkface", root)
    assert len(population.contributors) + len(population.held_out) == len(UTK)


def test_utkface_may_hide_race_or_age(official):
    root = official("utkface")
    crowd = load("utkface", root, ("race", "age"), held_out=0.1).contributors
    race, age = crowd.description.attributes
    assert race.classes == ("Asian", "Black", "Indian", "Others", "White")
    ages = [UTK[row][0] for row in shown(crowd)]
    assert age.classes == (f"<= {np.median(ages):g}", f"> {np.median(ages):g}")
    assert crowd.private[:, 1].tolist() == [int(value > np.median(ages)) for value in ages]
    assert set(crowd.tasks) == {"gender"}


@pytest.mark.parametrize(
    "name",
    [
        "39_1_20170116174525125.jpg.chip.jpg",  # this and the next are in the official archive
        "53__0_20170116184028385.jpg",
        "24_2_0_20170116184028385.jpg",
        "24_0_5_20170116184028385.jpg",
        "readme.txt",
    ],
)
def test_utkface_leaves_malformed_names_out_and_says_so(official, name):
    root = official("utkface")
    (root / "UTKFace" / name).write_bytes(b"")
    (root / "UTKFace" / ".DS_Store").write_bytes(b"")  # hidden: not worth a warning
    with pytest.warns(UserWarning, match=f"1 of 13 files are left out: .* example '{re.escape(name)}'$") as caught:
        population = load("utkface", root)
    assert len(caught) == 1
    assert sum(map(len, halves(population))) == IMAGES


def test_utkface_without_malformed_names_does_not_warn(official, recwarn):
    load("utkface", official("utkface"))
    assert not [warning for warning in recwarn if issubclass(warning.category, UserWarning)]


def rearrange(root: Path, moves: dict[str, str]) -> None:
    """Move files and folders to other places below the root."""
    for old, new in moves.items():
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (root / old).rename(root / new)


@pytest.mark.parametrize(
    ("dataset", "moves"),
    [
        (
            "celeba",
            {
                "list_attr_celeba.txt": "Anno/list_attr_celeba.txt",
                "identity_CelebA.txt": "Anno/identity_CelebA.txt",
                "list_eval_partition.txt": "Eval/list_eval_partition.txt",
                "img_align_celeba": "Img/img_align_celeba",
            },
        ),
        ("celeba", {"img_align_celeba": "x", "x": "img_align_celeba/img_align_celeba"}),
        ("celeba", {name: f"CelebA/Anno/{name}" for name in ("list_attr_celeba.txt", "identity_CelebA.txt")}),
        ("lfw", {"lfw": "lfw_funneled"}),
        ("lfw", {"lfw": "archive/lfw-deepfunneled/lfw-deepfunneled"}),
        ("lfw", {"lfw_attributes.txt": "labels/lfw_attributes.txt"}),
        ("utkface", {"UTKFace": "archive/UTKFace"}),
        ("dial", {name: f"data/{name}" for name in ("vocab", "pos_pos", "pos_neg", "neg_pos", "neg_neg")}),
    ],
)
def test_archives_are_read_as_they_unpack(official, dataset, moves):
    root = official(dataset)
    flat = load(dataset, root)
    labels = [crowd.private.tolist() for crowd in halves(flat)]
    pixels = [crowd.x[:] for crowd in halves(flat)]
    rearrange(root, moves)
    nested = load(dataset, root)
    assert [crowd.private.tolist() for crowd in halves(nested)] == labels
    assert all(np.array_equal(crowd.x[:], before) for crowd, before in zip(halves(nested), pixels, strict=True))


def test_utkface_in_the_wild_is_read_from_its_parts(official):
    root = official("utkface")
    for row in range(IMAGES):
        rearrange(root, {f"UTKFace/{utk_name(row)}": f"part{1 + row % 3}/{utk_name(row)}"})
    (root / "UTKFace").rmdir()
    (root / "part1" / "61_3_20170109150557335.jpg").write_bytes(b"")
    with pytest.warns(DataNotice, match="1 of 13 files are left out: .* example '61_3_2017"):
        population = load("utkface", root)
    assert sorted(row for crowd in halves(population) for row in shown(crowd)) == list(range(IMAGES))


def test_images_that_are_elsewhere_are_pointed_at(official):
    root = official("utkface")
    rearrange(root, {"UTKFace": "faces/mine"})
    with pytest.raises(InputError, match=r"has no file named .*; there are images in '.*/faces/mine'; get "):
        load("utkface", root)


def test_an_archive_that_is_not_unpacked_is_pointed_at(official):
    root = official("celeba")
    rearrange(root, {"img_align_celeba": "elsewhere"})
    (root / "Img").mkdir()
    (root / "Img" / "img_align_celeba.zip").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"celeba' is missing; unpack '.*/Img/img_align_celeba\.zip', or get "):
        load("celeba", root)


def test_a_file_of_another_distribution_is_named(official):
    root = official("celeba")
    rearrange(root, {"list_attr_celeba.txt": "list_attr_celeba.csv"})
    with pytest.raises(InputError, match=r"\.txt' is missing \('.*\.csv' is not the official file\); get "):
        load("celeba", root)


def test_dial_tokens_and_labels_are_those_of_the_files(official):
    root = official("dial")
    population = load("dial", root)
    description = population.contributors.description
    assert description.modality == "text"
    assert description.vocabulary == 6  # five words and what fills up
    assert description.shape == (LONGEST,)
    (race,) = description.attributes
    seen = []
    for crowd in halves(population):
        assert crowd.x.dtype == np.int32
        assert set(crowd.tasks) == {"mention"}
        assert len(set(crowd.participant.tolist())) == len(crowd)
        for tokens, private, mention in zip(crowd.x, crowd.private[:, 0], crowd.tasks["mention"], strict=True):
            length = np.count_nonzero(tokens != PADDING)
            assert (tokens[:length] != PADDING).all()  # padding comes last
            dialect = {"African American": "pos", "white": "neg"}[race.classes[private]]
            seen.append((("neg", "pos")[mention] + "_" + dialect, " ".join(str(t - 1) for t in tokens[:length])))
    wanted = []
    for name in ("pos_pos", "pos_neg", "neg_pos", "neg_neg"):
        wanted += [(name, " ".join(line.split()[:LONGEST])) for line in (root / name).read_text().splitlines()]
    assert sorted(seen) == sorted(wanted)


def test_dial_is_as_wide_as_its_longest_tweet(official):
    root = official("dial")
    (root / "neg_neg").write_text("2\n3 0\n1\n")
    assert load("dial", root).contributors.description.shape == (4,)


def test_dial_may_hide_mentions(official):
    crowd = load("dial", official("dial"), ("mention",)).contributors
    assert crowd.description.attributes[0].classes == ("no", "yes")
    assert set(crowd.tasks) == {"race"}


def test_dial_takes_as_many_tweets_of_a_file_as_the_papers(official):
    root = official("dial")
    for extra, name in enumerate(("pos_pos", "pos_neg", "neg_pos", "neg_neg")):
        (root / name).write_text(f"{extra}\n" * TWEETS + "4\n" * extra)
    population = load("dial", root, held_out=0.2)
    assert sum(map(len, halves(population))) == 4 * TWEETS
    assert max(crowd.x.max() for crowd in halves(population)) == 4  # word 3; word 4 comes after the last that counts


@pytest.mark.parametrize("dataset", WRITERS)
def test_fewer_records_are_the_same_ones_each_time(official, dataset):
    root = official(dataset)
    first, again = load(dataset, root, records=8), load(dataset, root, records=8)
    assert sum(map(len, halves(first))) == 8
    for one, other in zip(halves(first), halves(again), strict=True):
        assert np.array_equal(one.x[:], other.x[:])
        assert np.array_equal(one.participant, other.participant)
    assert sum(map(len, halves(load(dataset, root, records=500)))) == 12


def test_fewer_records_are_those_of_whole_people():
    participant = np.repeat(np.arange(100), 5)
    rows = sample_people(participant, 52)
    counts = np.bincount(participant[rows])
    assert np.bincount(counts[counts > 0]).tolist() == [0, 0, 1, 0, 0, 10]  # one person has two, ten have all five
    assert (np.diff(rows) > 0).all()
    assert np.ptp(participant[rows]) > 20  # drawn, not the first ones


@pytest.mark.parametrize("dataset", WRITERS)
def test_without_a_folder_the_flag_is_named(dataset):
    with pytest.raises(InputError, match=rf"^{dataset} needs .* --data-root; get them from http[^\n]*$"):
        load(dataset, None)


@pytest.mark.parametrize("dataset", WRITERS)
def test_a_folder_that_is_none_is_refused(dataset, tmp_path):
    with pytest.raises(InputError, match=rf"^{dataset}: '.*/nowhere' \(--data-root\) is no folder; .*http[^\n]*$"):
        load(dataset, tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("dataset", "private", "tasks", "why"),
    [
        ("celeba", ("Mail",), (), "unknown private attribute of celeba 'Mail': choose one of 5_o_Clock_Shadow, "),
        ("celeba", (), ("Smile",), "unknown task of celeba 'Smile': choose one of 5_o_Clock_Shadow, "),
        ("celeba", ("Male",), ("Male",), "hiding Male leaves no task of celeba to audit"),
        ("lfw", ("Gender",), (), "unknown private attribute of lfw 'Gender': choose one of Male, Asian, "),
        ("lfw", (), ("Middle Aged",), "unknown task of lfw 'Middle Aged': .* Middle_Aged, "),
        ("lfw", ("person",), (), "unknown private attribute of lfw 'person'"),
        ("utkface", ("name",), (), "unknown private attribute of utkface 'name': choose one of age, gender, race$"),
        ("utkface", ("age", "gender", "race"), (), "hiding age, gender, race leaves no task of utkface"),
        ("dial", ("age",), (), "unknown private attribute of dial 'age': choose one of mention, race$"),
        ("dial", ("race",), ("race",), "hiding race leaves no task of dial"),
    ],
)
def test_names_that_cannot_be(official, dataset, private, tasks, why):
    with pytest.raises(InputError, match=f"^{why}"):
        load(dataset, official(dataset), private, tasks=tasks)


def change(file: str, number: int, old: str, new: str):
    """In line `number` (from 1) of a file, `new` for `old`."""

    def damage(root: Path) -> None:
        lines = (root / file).read_text().split("\n")
        assert old in lines[number - 1]
        lines[number - 1] = lines[number - 1].replace(old, new, 1)
        (root / file).write_text("\n".join(lines))

    return damage


def shorten(file: str, lines: int):
    """Only the first `lines` lines of a file."""
    return lambda root: (root / file).write_text("\n".join((root / file).read_text().split("\n")[:lines]) + "\n")


def remove(*files: str):
    return lambda root: [(root / file).unlink() for file in files]


ATTRIBUTES, SCORES = "list_attr_celeba.txt", "lfw_attributes.txt"


@pytest.mark.parametrize(
    ("dataset", "damage", "why"),
    [
        ("celeba", remove(ATTRIBUTES), r"/list_attr_celeba\.txt' is missing; get .*mmlab\.ie\.cuhk"),
        ("celeba", remove("identity_CelebA.txt"), r"/identity_CelebA\.txt' is missing; get .*mmlab\.ie\.cuhk"),
        ("celeba", remove("list_eval_partition.txt"), r"/list_eval_partition\.txt' is missing; get "),
        ("celeba", lambda root: (root / ATTRIBUTES).write_text(""), "line 1: expected the number of images"),
        ("celeba", change(ATTRIBUTES, 1, "12", "many"), "line 1: expected the number of images"),
        ("celeba", change(ATTRIBUTES, 1, "12", "202599"), "says 202599 images in line 1, but lists 12"),
        ("celeba", shorten(ATTRIBUTES, 9), "says 12 images in line 1, but lists 7"),
        ("celeba", change(ATTRIBUTES, 2, "Male ", ""), "unknown private attribute of celeba 'Male'"),
        ("celeba", change(ATTRIBUTES, 2, "Bald ", ""), "line 3: expected an image and 39 values, found 41 fields"),
        ("celeba", change(ATTRIBUTES, 5, " 1", ""), "line 5: expected an image and 40 values, found 40 fields"),
        ("celeba", change(ATTRIBUTES, 5, " 1", " 2"), None),  # a column that nobody wants: not looked at
        ("celeba", change(ATTRIBUTES, 4, "000002.jpg", "000001.jpg"), r"'000001\.jpg' is listed 2 times"),
        ("celeba", remove("img_align_celeba/000003.jpg", "img_align_celeba/000007.jpg"), "2 of 12 .*/000003.jpg'; get"),
        ("celeba", lambda root: (root / "img_align_celeba").rename(root / "images"), "/img_align_celeba' is missing"),
        ("celeba", shorten("identity_CelebA.txt", 7), r"identity_CelebA\.txt' lacks image '000008\.jpg'"),
        ("celeba", change("identity_CelebA.txt", 2, "2880", ""), r"identity_CelebA\.txt', line 2: .*'000002\.jpg '"),
        ("celeba", change("list_eval_partition.txt", 2, "0", "z0"), r"partition\.txt' lacks image '000002\.jpg'"),
        ("celeba", change("list_eval_partition.txt", 12, "jpg 2", "jpg 3"), "has a part above 2"),
        (
            "celeba",
            lambda root: (root / "list_eval_partition.txt").open("a").write("000013.jpg 1\n"),
            r"partition\.txt' lists 13 images, list_attr_celeba\.txt lists 12",
        ),
        ("lfw", remove(SCORES), r"/lfw_attributes\.txt' is missing; get .*vis-www\.cs\.umass\.edu.*columbia"),
        ("lfw", shorten(SCORES, 1), "line 2: expected '#', 'person', 'imagenum'"),
        ("lfw", change(SCORES, 2, "\tMale", ""), "unknown private attribute of lfw 'Male'"),
        ("lfw", change(SCORES, 2, "\tBald", ""), "line 3: expected 19 fields between tabs, found 20"),
        ("lfw", change(SCORES, 6, "\t4\t", "\t"), "line 6: expected 20 fields between tabs, found 19"),
        ("lfw", change(SCORES, 6, "\t4\t", "\tfour\t"), "line 6: imagenum is 'four'"),
        ("lfw", change(SCORES, 4, "1.568346", "high"), "line 4: Male is '-?high', expected a number"),
        ("lfw", change(SCORES, 4, "1.568346", "nan"), "line 4: Male is '-?nan', expected a number"),
        ("lfw", change(SCORES, 4, "\t2\t", "\t1\t"), r"'Aaron_Eckhart/Aaron_Eckhart_0001\.jpg' is listed 2 times"),
        ("lfw", change(SCORES, 11, "Zico", "Pele"), r"1 of 12 listed images .*/lfw/Pele/Pele_0001\.jpg'; get"),
        ("lfw", lambda root: (root / "lfw").rename(root / "faces"), "folder '.*/lfw' is missing; get "),
        (
            "utkface",
            lambda root: [path.unlink() for path in (root / "UTKFace").iterdir()],
            r"has no file named AGE_GENDER_RACE_DATE\.jpg; get .*susanqq",
        ),
        (
            "utkface",
            lambda root: [path.rename(path.with_name(f"face_{path.name}")) for path in (root / "UTKFace").iterdir()],
            r"has no file named AGE_GENDER_RACE_DATE\.jpg, but 'face_116_1_2_.*'; get",
        ),
        ("dial", remove("vocab"), "/vocab' is missing; get .*slanglab.*demog-text-removal"),
        ("dial", remove("neg_pos"), "/neg_pos' is missing; get "),
        ("dial", change("pos_neg", 2, "4", "5"), r"pos_neg', line 2: word 5 is not in 0\.\.4, the 5 words of vocab"),
        ("dial", change("pos_neg", 2, "4", "-1"), "pos_neg', line 2: word -1 is not in"),
        ("dial", change("neg_pos", 1, "4", "lol"), "neg_pos', line 1: expected numbers of words"),
        ("dial", change("neg_pos", 3, "1", ""), "neg_pos', line 3: a tweet without words"),
        ("dial", shorten("neg_neg", 2), "equally many .* pos_pos 3, pos_neg 3, neg_pos 3, neg_neg 2"),
        (
            "dial",
            lambda root: [(root / name).write_text("") for name in ("pos_pos", "pos_neg", "neg_pos", "neg_neg")],
            "equally many .* found pos_pos 0",
        ),
    ],
)
def test_damaged_files_are_told_in_one_line(official, dataset, damage, why):
    root = official(dataset)
    load(dataset, root)  # it is the damage that is refused
    damage(root)
    if why is None:
        load(dataset, root)
        return
    with pytest.raises(InputError, match=why) as caught:
        load(dataset, root)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dataset", IMAGE_SETS)
def test_an_image_that_cannot_be_decoded_is_named(official, dataset):
    root = official(dataset)
    victim = sorted(root.rglob("*.jpg"))[0]
    victim.write_bytes(victim.read_bytes()[:200])
    with pytest.raises(InputError, match=rf"^cannot decode image '{re.escape(str(victim))}': [^\n]*$"):
        [crowd.x[:] for crowd in halves(load(dataset, root))]


@pytest.fixture
def paths(tmp_path):
    found = [tmp_path / f"{row}.png" for row in range(6)]  # without loss: pixels are compared exactly
    for row, path in enumerate(found):
        paint(path, row, (8, 6))
    return found


def test_lazy_images_read_like_an_array(paths):
    images = LazyImages(paths, (6, 8))
    whole = np.stack([np.broadcast_to(np.array(color(row), np.uint8)[:, None, None], (3, 6, 8)) for row in range(6)])
    assert images.shape == whole.shape
    assert len(images) == 6
    mask = np.array([True, False, False, True, False, True])
    lists = [np.array(rows, dtype=np.int64) for rows in ([5, 0, 5], [3], [[0, 1], [4, 2]], [])]
    for index in (2, -1, slice(1, 4), slice(None), mask, *lists):
        assert images[index].dtype == np.uint8
        assert np.array_equal(images[index], whole[index])
    with pytest.raises(IndexError):
        images[6]


def test_a_subset_of_lazy_images_is_numbered_anew(paths):
    part = LazyImages(paths, (6, 8)).subset(np.array([4, 1, 2]))
    assert part.shape == (3, 3, 6, 8)
    assert part[:][:, 0, 0, 0].tolist() == [80, 20, 40]
    assert part.subset(np.array([2, 0]))[:][:, 0, 0, 0].tolist() == [40, 80]


def test_lazy_images_are_not_read_before_they_are_asked_for(paths):
    images = LazyImages(paths, (6, 8))
    paths[3].unlink()
    assert images.subset(np.array([0, 3])).shape == (2, 3, 6, 8)
    images[[0, 1, 2, 4, 5]]
    with pytest.raises(InputError, match=r"^image '.*/3\.png' is missing$"):
        images[2:4]


def test_the_images_read_last_stay_in_memory_up_to_a_number_of_bytes(paths):
    images = LazyImages(paths, (6, 8), cache_bytes=2 * 3 * 6 * 8 + 1)  # two images, not three
    part = images.subset(np.array([1, 2]))
    images[0], images[1], images[0], images[2]  # 1 was read less lately than 0 and has to go
    for path in paths:
        path.unlink()
    assert images[0][0, 0, 0] == 0
    assert part[1][0, 0, 0] == 40  # parts share what is in memory
    with pytest.raises(InputError, match=r"1\.png' is missing"):
        images[1]


def test_an_image_larger_than_the_memory_is_still_read(paths):
    images = LazyImages(paths, (6, 8), cache_bytes=10)
    assert images[1][0, 0, 0] == 20
    paths[1].unlink()
    with pytest.raises(InputError, match="is missing"):
        images[1]


def test_pickled_lazy_images_carry_paths_and_no_pixels(paths):
    images = LazyImages(paths, (600, 800))
    images[:]
    written = pickle.dumps(images.subset(np.array([5, 3])))
    assert len(written) < 5000  # an image has 1,440,000 bytes
    again = pickle.loads(written)
    assert again.shape == (2, 3, 600, 800)
    assert again[:][:, 0, 0, 0].tolist() == [100, 60]


def test_what_is_read_can_be_written_to_without_changing_what_comes_next(paths):
    images = LazyImages(paths, (6, 8))
    images[:][:] = 9
    assert images[1:2][0, 0, 0, 0] == 20


def test_images_become_gray_or_colored(tmp_path):
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "red.png")
    Image.new("L", (4, 4), 77).save(tmp_path / "gray.png")
    Image.new("RGBA", (4, 4), (10, 20, 30, 0)).save(tmp_path / "clear.png")
    gray = LazyImages([tmp_path / "red.png", tmp_path / "gray.png"], (4, 4), channels=1)
    assert gray.shape == (2, 1, 4, 4)
    assert gray[:][:, 0, 0, 0].tolist() == [76, 77]  # red counts 0.299 of 255
    assert read_image(tmp_path / "gray.png", (4, 4))[:, 0, 0].tolist() == [77, 77, 77]
    assert read_image(tmp_path / "clear.png", (4, 4))[:, 0, 0].tolist() == [10, 20, 30]


def test_images_are_scaled_to_height_and_width(tmp_path):
    picture = np.zeros((4, 8), np.uint8)
    picture[:, 4:] = 200  # dark on the left, bright on the right
    Image.fromarray(picture).save(tmp_path / "halves.png")
    scaled = read_image(tmp_path / "halves.png", (2, 4), channels=1)
    assert scaled.shape == (1, 2, 4)
    assert scaled[0, 0, 0] < 10
    assert scaled[0, 0, 3] > 190
    assert (scaled[0, 0] == scaled[0, 1]).all()


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_told(tmp_path, content):
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"^cannot decode image '.*/broken\.png': "):
        read_image(path, (4, 4))
