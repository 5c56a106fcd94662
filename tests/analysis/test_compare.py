"""compare on datasets: what is compared, in pairs or not, what is said and what is refused."""

import numpy as np
import pytest
import scipy.stats
import xarray as xr

import sdesim as sd
from sdesim.engine.results import Status
from tests.analysis.compare_data import correlated, one_number, recorded

RNG = np.random.default_rng(12)


def pair(n=60, m=60, seeds=(1, 2), shift=0.0, **more):
    a, b = correlated(RNG, n, 4), correlated(RNG, m, 4)
    b[:, 1, 2:] += shift
    return recorded(a, seeds[0], **more), recorded(b, seeds[1], **more)


def side_by_side(runs):
    ds = xr.concat(list(runs.values()), dim="dynamics", combine_attrs="override")
    return ds.assign_coords(dynamics=list(runs))


def test_every_observable_and_time_is_a_look():
    found = sd.compare(*pair())[0]
    assert found.table.sizes["look"] == 12
    assert {(r["observable"], r["time"]) for r in found.records()} == {
        (name, float(t)) for name in ("loss", "accuracy", "norm") for t in range(4)
    }
    assert not found.parts and not found.paired
    assert found.p_value > 0.05


def test_a_verdict_says_what_parts_when_and_by_how_much():
    a, b = pair(400, 300, shift=0.8)
    found = sd.compare({"SGD": a, "SDE": b})[0]
    assert found.parts
    lines = found.verdict
    assert lines[0].startswith("SDE and SGD: part, p = 0.00")
    assert "accuracy: from time 2 to 3 (2 of 4 times), most" in lines[1]
    assert len(lines) == 3
    row = found.table.isel(look=[i for i, r in enumerate(found.records()) if r["observable"] == "accuracy"])
    truth = np.array([0.0, 0.0, 0.8, 0.8])
    assert ((row["band_low"] <= truth) & (truth <= row["band_high"])).all()
    assert ((row["wasserstein_low"] <= truth) & (truth <= row["wasserstein_high"])).all()
    assert row["p_mean"].values[0] > 0.05 and (row["p_mean"].values[2:] < 0.05).all()


def test_agreement_is_relative_to_the_reference_or_its_spread():
    a, b = pair(200, 200)
    away = {name: 10 + ds[["loss"]] for name, ds in (("a", a), ("b", b))}
    found = sd.compare(away)[0]
    ends = np.abs(found.table[["band_low", "band_high"]].to_array())
    assert found.agreement == pytest.approx(float((ends / np.abs(found.table["mean_reference"])).max()))
    assert f"means agree within {100 * found.agreement:.2g} % (95 %, all looks at once)" in found.verdict[0]
    near_zero = sd.compare(a[["loss"]], b[["loss"]])[0]
    ends = np.abs(near_zero.table[["band_low", "band_high"]].to_array())
    assert near_zero.agreement == pytest.approx(float((ends / near_zero.table["sd_reference"]).max()))


def test_the_tolerance_asked_for_is_met_missed_or_says_how_many_paths_it_takes():
    def last(size, n=200, shift=0.0):
        a = 10 + np.random.default_rng(1).standard_normal(n)
        b = 10 + shift + np.random.default_rng(2).standard_normal(n)
        return sd.compare(one_number(a, 1), one_number(b, 2), within=size)[0]

    assert last(0.05).verdict[-1].strip() == "agree within the 5 % asked for"
    assert last(0.05, shift=2.0).verdict[-1].strip() == "do not agree within the 5 % asked for"
    unknown = last(0.02, n=50)
    assert "not known whether they agree within the 2 % asked for: about" in unknown.verdict[-1]
    need = int(unknown.verdict[-1].split("about ")[1].split()[0])
    half = float((unknown.table["band_high"] - unknown.table["band_low"])[0]) / 2
    unit, off = float(unknown.table["mean_reference"][0]), abs(float(unknown.table["difference"][0]))
    assert need == pytest.approx(50 * (half / (0.02 * unit - off)) ** 2, abs=1)


def test_a_difference_of_spread_alone_is_a_difference_of_laws():
    a, b = RNG.standard_normal(300), 1.8 * RNG.standard_normal(300)
    found = sd.compare(one_number(a, 1), one_number(b, 2))[0]
    assert found.parts and float(found.table["p_mean"][0]) > 0.05
    assert "loss: at time 1, laws differ, means are not known to: standard deviation" in found.verdict[1]


def test_runs_of_one_seed_are_compared_in_pairs_and_others_are_not():
    start = 5 * RNG.standard_normal((40, 1, 1))
    a, b = start + correlated(RNG, 40, 4), 0.9 + start + correlated(RNG, 40, 4)
    assert not sd.compare(recorded(a, 1), recorded(b, 2))[0].parts
    found = sd.compare(recorded(a, 1), recorded(b, 1))[0]
    assert found.paired and found.parts
    apart = sd.compare(recorded(a, 1), recorded(b, 1), paired=False)[0]
    assert not apart.paired and "share a seed" in apart.notes[0]
    some = sd.compare(recorded(a, 1), recorded(b[5:], 1, start=5))[0]
    assert some.paired and int(some.table["n_other"][0]) == 35
    assert some.notes == ("5 paths have no partner and are left out: simulate one ensemble with another seed",)


def test_values_that_differ_by_rounding_are_equal():
    x = np.linspace(1, 2, 32)
    off = x * (1 + 1e-7)
    single, double = (
        sd.compare(*(one_number(v, 1).assign_attrs(dtype=d) for v in (x, off)))[0] for d in ("float32", "float64")
    )
    assert not single.parts and float(single.table["difference"][0]) == 0
    assert double.parts


def test_equal_starts_of_all_paths_are_no_difference():
    a, b = (one_number(np.full(20, 3.0), seed) for seed in (1, 2))
    found = sd.compare(a, b)[0]
    assert found.p_value == 1 and found.agreement == 0
    moved = sd.compare(a, one_number(np.full(20, 3.1), 2))[0]
    assert moved.p_value == pytest.approx(0.001)
    assert float(moved.table["wasserstein"][0]) == pytest.approx(0.1)


@pytest.mark.parametrize("paired", [False, True])
def test_shares_of_diverged_paths_are_compared_by_exact_tests(paired):
    n, lost = 40, (2, 11)
    status = [np.where(np.arange(n) < k, Status.DIVERGED, Status.CENSORED) for k in lost]
    a, b = (recorded(np.zeros((n, 3, 2)), 1 if paired else i, status=s) for i, s in enumerate(status))
    found = sd.compare(a, b, permutations=9999)[0]
    truth = scipy.stats.binomtest(0, 9) if paired else scipy.stats.fisher_exact([[2, 38], [11, 29]])
    assert found.diverged["p"] == pytest.approx(truth.pvalue, abs=4 * (truth.pvalue / 9999) ** 0.5)
    assert found.parts
    assert found.verdict[1].startswith("  diverged paths: 27.5 % against 5 %, p = 0.0")


def test_paths_that_stopped_are_noted_and_compared_while_they_run():
    a, b = pair(50, 50)
    b["loss"][:10, 2:] = np.nan
    found = sd.compare(a, b)[0]
    rows = {(r["observable"], r["time"]): r for r in found.records()}
    assert rows["loss", 3.0]["n_other"] == 40 and rows["norm", 3.0]["n_other"] == 50
    assert found.notes[0].startswith("10 of 50 paths of the other lack values at some times")
    b["loss"][:, 3] = np.nan
    gone = {(r["observable"], r["time"]): r for r in sd.compare(a, b)[0].records()}["loss", 3.0]
    assert gone["n_other"] == 0 and np.isnan(gone["difference"]) and np.isnan(gone["p_mean"])


def exits(times, seed, t_max, clock=0.01):
    out = times < t_max
    status = np.where(out, Status.EXITED, Status.CENSORED)
    steps = np.round(np.minimum(times, t_max) / clock).astype(int)
    variables = {"exit_time": ("path", np.where(out, times, np.nan)), "status": ("path", status),
                 "n_steps": ("path", steps), "clock": ((), clock)}  # fmt: skip
    return xr.Dataset(variables, attrs={"seed": str(seed)})


def test_exit_times_are_compared_up_to_the_first_censoring():
    a, b = RNG.exponential(2.0, 4000), RNG.exponential(3.0, 4000)
    found = sd.compare(exits(a, 1, 4.0), exits(b, 2, 6.0, clock=0.1), permutations=199)[0]
    row = found.table.isel(look=0)
    assert str(row["component"].item()) == "up to 4"
    means = [m * (1 - np.exp(-4 / m)) for m in (2, 3)]
    assert float(row["band_low"]) < means[1] - means[0] < float(row["band_high"])
    assert float(row["wasserstein_low"]) < means[1] - means[0] < float(row["wasserstein_high"])
    assert found.parts and "steps of 0.01 and 0.1" in found.notes[0]
    cut = exits(a, 1, 4.0)
    cut["status"][3] = Status.INTERRUPTED
    with pytest.raises(ValueError, match="interrupted run cannot be compared: complete it"):
        sd.compare(cut, exits(b, 2, 6.0))


def test_each_dynamics_and_cell_is_held_against_the_reference():
    def swept(shift, seed):
        return xr.concat([pair(40, 40, seeds=(0, seed), shift=s)[1] for s in (0.0, shift)], dim="lr").assign_coords(
            lr=[0.1, 0.2]
        )

    ds = side_by_side({"SGD": swept(0.0, 1), "SDE": swept(3.0, 2), "flow": swept(0.0, 3)})
    ds.attrs.pop("seed")
    found = sd.compare(ds, reference="SGD", permutations=99)
    assert [(one.other, one.where["lr"], one.parts) for one in found] == [
        ("SDE", 0.1, False), ("SDE", 0.2, True), ("flow", 0.1, False), ("flow", 0.2, False),
    ]  # fmt: skip
    assert "SDE and SGD, lr = 0.2: part" in str(found)
    assert {r["lr"] for r in found.records()} == {0.1, 0.2}


def test_last_states_stand_in_where_nothing_was_recorded():
    chain = sd.SGD(sd.Landscape("x**2/2"), 0.1, noise=sd.Gaussian(1.0))
    a, b = (sd.run(chain, 0.0, 64, n_steps=20, seed=s, engine="reference") for s in (1, 2))
    found = sd.compare(a, b)[0]
    assert found.records()[0]["observable"] == "final_state" and found.records()[0]["time"] == pytest.approx(2.0)
    longer = sd.run(chain, 0.0, 64, n_steps=40, seed=3, engine="reference")
    with pytest.raises(ValueError, match=r"no common times, the last states are of 2 and 4"):
        sd.compare(a, longer)


def test_equal_samples_have_distance_zero_exactly():
    a, _ = pair(37, 37)
    t = sd.compare(a, a.assign_attrs(seed="1"))[0].table
    for name in ("wasserstein", "energy"):
        assert all((t[f"{name}{end}"] == 0).all() for end in ("", "_low", "_high"))


def test_an_ensemble_that_diverged_whole_parts_from_one_that_did_not():
    stays, leaves = sd.Landscape("x**2/2"), sd.Landscape("-x**4")
    a, b = (
        sd.run(sd.SGD(f, 1.0), 3.0, 20, n_steps=12, seed=seed, engine="reference")
        for seed, f in enumerate((stays, leaves))
    )
    found = sd.compare(a, b, permutations=199)[0]
    assert found.parts
    assert "diverged paths: 100 % against 0 %" in found.verdict[1]
    assert found.table["time"].values.tolist() == [12.0]


def test_states_of_different_times_are_noted():
    f = sd.Landscape("x**2/2")
    times = [sd.Record([0.25, 1.0])]
    runs = {
        dt: sd.run(sd.SGD(f, dt), 1.0, 64, t_max=1.0, seed=seed, observers=times, engine="reference")
        for seed, dt in enumerate((0.1, 0.05, 0.2))
    }
    (note,) = sd.compare(runs[0.1], runs[0.05])[0].notes
    assert note.startswith("at 1 of 2 times the states are of different times (at 0.25 the last steps were at 0.2 and")
    assert not sd.compare(runs[0.1], runs[0.2])[0].notes
    ladder = {0.1: {"a": runs[0.1], "b": runs[0.05]}, 0.2: {"a": runs[0.2], "b": runs[0.1]}}
    found = sd.weak_order(ladder, time=0.25)
    assert np.isnan(found.value) and "at lr = 0.1 the states of time 0.25 are of 0.2 and 0.25" in found.warning
    assert "are of" not in sd.weak_order(ladder, time=1.0).warning


def test_components_of_one_ensemble_only_are_noted_and_none_in_common_refused():
    runs = {
        names: sd.run(sd.SGD(sd.Landscape(f"{names[0]}**2 + {names[1]}**2"), 0.1), [1.0, 1.0], 20, n_steps=3, seed=seed,
                      engine="reference")
        for seed, names in enumerate(("xy", "xv", "uw"))
    }  # fmt: skip
    found = sd.compare(runs["xy"], runs["xv"])[0]
    assert found.table["component"].values.tolist() == ["x"]
    assert found.notes == ("final_state: 1 components of one ensemble only are not compared",)
    with pytest.raises(ValueError, match="final_state has no component in common, x, y and u, w"):
        sd.compare(runs["xy"], runs["uw"])


A, B = pair()
LONG = [recorded(correlated(RNG, 60, 20), seed) for seed in (1, 2)]
FEW = pair(5, 5, seeds=(1, 1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sd.compare(A), "the dataset holds one dynamics"),
        (lambda: sd.compare(3.0), "a comparison is of datasets, got float"),
        (lambda: sd.compare({"SGD": A}), "needs two dynamics, got SGD"),
        (lambda: sd.compare({"SGD": A, "SDE": B}, reference="SGB"), "no dynamics 'SGB': did you mean SGD"),
        (lambda: sd.compare(A, side_by_side({"x": A, "y": B})), "holds several dynamics itself, x, y"),
        (lambda: sd.compare(A[["loss"]], B[["norm"]]), "no observable in common, loss and norm"),
        (lambda: sd.compare(A, B, observables=["los"]), "no observable 'los' in both: did you mean loss"),
        (lambda: sd.compare(A, B.assign_coords(time=[0.5, 1.5, 2.5, 3.5])), "no common times, 0, 1, 2, 3 and 0.5"),
        (lambda: sd.compare(A, B, observables=[]), "observables names nothing"),
        (lambda: sd.compare(A.isel(path=slice(0)), B), "'first' has 0 paths"),
        (lambda: sd.compare(A, B, times=[7.0]), "time 7 was not recorded in both: there are 0, 1, 2, 3"),
        (lambda: sd.compare(*FEW), "5 pairs of paths are too few for level 0.95: .* take at least 6 paths each"),
        (lambda: sd.compare(*pair(3, 3)), "3 and 3 paths are too few for level 0.95: .* take at least 4 paths each"),
        (lambda: sd.compare(A, B, permutations=10), "10 permutations give no p-value below 0.05: take at least 19"),
        (lambda: sd.compare(A, B, permutations=5 * 10**6), "120 paths are too many for 5000000 perm.* take 100"),
        (lambda: sd.compare(*LONG, permutations=4 * 10**6), "60 looks at 120 paths .*, about 41 looks in all"),
        (lambda: sd.compare(A, B, level=95), "level must be between 0 and 1, got 95"),
        (lambda: sd.compare(A, B, within=-1), "within must be positive"),
        (lambda: sd.compare(A, B, paired="yes"), "paired must be 'auto', True or False, got 'yes'"),
        (lambda: sd.compare(A, recorded(correlated(RNG, 9, 4), 1, start=60), paired=True), "no path number is in both"),
        (lambda: sd.compare(A.expand_dims(lr=[0.1]), B), "different parameters are swept"),
        (lambda: sd.compare(A.expand_dims(lr=[0.1]), B.expand_dims(lr=[0.2])), "lr has the values"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
