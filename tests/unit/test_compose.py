"""Every wrong word gets one exact answer, before anything starts."""

import shlex
from pathlib import Path

import pytest
from experience import make_spec

from envs.config import OBSERVATIONS
from handrail import cli, settings, values, verbs
from handrail.compose import compose_verb, keys_of
from handrail.suited import with_suited
from networks.config import trunk_file
from wire.errors import UserError
from wire.store import StepStore

HELP = "; see handrail sim --help"
WRONG = {
    "smi": "handrail has no verb smi; did you mean sim?\n\n" + cli._USAGE.rstrip(),
    "sim stepz=5": "handrail sim has no key stepz; did you mean steps?" + HELP,
    "sim agent.bacth_size=3": "handrail sim has no key agent.bacth_size; did you mean agent.batch_size?" + HELP,
    "sim quux=1": "handrail sim has no key quux" + HELP,
    "sim task=raech": "task must be one of pick_cube, reach, peg_insert, got raech; did you mean reach?",
    "sim agent=rlpf": "agent must be one of rlpd, sac, bc, hg_dagger, iql, cql, calql, td3bc, qc, gqn, cpl, got rlpf; "
    "did you mean rlpd?",
    "sim scene=plan": "scene must be one of plain, varied, got plan; did you mean plain?",
    "sim obs=pixel": f"obs must be one of {', '.join(OBSERVATIONS)}, got pixel; did you mean pixels?",
    "sim env=gmy": "env must be one of sim, ros, gym, got gmy; did you mean gym?",
    "sim human=scirpt": "human must be one of none, script, spacemouse, spacemice, gamepad, keyboard, joy, "
    "twist, leader, got scirpt; did you mean script?",
    "actor human.dead_zone=0.2": "human.dead_zone goes with human=spacemouse, human=spacemice, human=gamepad, "
    "human=keyboard, human=joy, human=twist, human=leader; add one of them, or drop human.dead_zone=0.2",
    "actor human=spacemouse human.dead_zoen=0.2": "handrail actor has no key human.dead_zoen; did you mean "
    "human.dead_zone?; see handrail actor --help",
    "actor human=spacemouse human.kind=gamepad": "human.kind follows from "
    "human=none|script|spacemouse|spacemice|gamepad|keyboard|joy|twist|leader; see handrail actor --help",
    "actor human=spacemouse human.frame=tol": "human.frame must be one of base, tool, got tol; did you mean tool?",
    "actor human=spacemouse human.signs=[1,1]": "human.signs must be six of 1 and -1, got [1, 1]",
    "actor human=spacemouse env.realtime=false": "human=spacemouse needs time to pass as it does for people: set "
    "env.realtime=true",
    "actor human=keyboard human.gripper=hold": "human.gripper must be toggle with human=keyboard: a terminal never "
    "says that a key went up",
    "actor human=spacemice human.left=A human.right=A": "human.left and human.right are both A: one SpaceMouse drives "
    "one arm",
    "actor human=spacemouse human.left=A": "human.left goes with human=spacemice, got human=spacemouse; drop it",
    "actor human=joy human.clutch_button=3": "human.clutch_button goes with human=leader, got human=joy; drop it",
    "actor human=leader human.clutch_buton=3": "handrail actor has no key human.clutch_buton; did you mean "
    "human.clutch_button?; see handrail actor --help",
    "actor env=gym env.id=Pendulum-v1 human=spacemouse": "human=spacemouse needs time to pass as it does for people: "
    "set actor.pace=clock",
    "sim human.skill=lasy": "human.skill must be one of expert, noisy, late, lazy, wrong, value, random, got lasy; did "
    "you mean lazy?",
    "actor human.skill=lazy": "human.skill goes with human=script; add it, or drop human.skill=lazy",
    "demos record human=script human.skill=lazy": "human.skill is of those who correct a policy: handrail sim or "
    "actor; drop human.skill=lazy",
    "sim human=none human.skill=lazy": "human.skill goes with human=script; say that instead, or drop human.skill=lazy",
    "sim env.clearance_mm=1": "clearance_mm=1 goes with task=peg_insert only, got env=sim task=pick_cube; set it, or "
    "drop clearance_mm",
    "sim task=peg_insert env.clearance_mm=4": "clearance_mm must be one of 2, 1, 0.5, got 4; did you mean 2?",
    "sim task=peg_insert env.clearence_mm=1": "handrail sim has no key env.clearence_mm; did you mean "
    "env.clearance_mm?" + HELP,
    "sim demos=none learner.head_start=5": "learner.head_start learns from past runs and demonstrations, and none are "
    "named; set archive= or demos=",
    "teleop human=script": "teleop is for a hand: human=spacemouse|spacemice|gamepad|keyboard|joy|twist|leader, got "
    "human=script",
    "teleop env.realtime=false": "teleop needs time to pass as it does for people: set env.realtime=true, or dry=true",
    "sim steps=many": "steps=many: Value 'many' of type 'str' could not be converted to Integer" + HELP,
    "sim steps=": "steps=: Value '' of type 'str' could not be converted to Integer" + HELP,
    "sim resume=perhaps": "resume=perhaps: Value 'perhaps' is not a valid bool (type str)" + HELP,
    "sim agent.hidden=5": "agent.hidden=5: Invalid value assigned: int is not a ListConfig, list or tuple." + HELP,
    "sim agent.hidden=[]": "agent.hidden must name at least one layer, got []",
    "sim agent.learning_rate=-1": "agent.learning_rate must be > 0, got -1.0",
    "sim agent.discount=1.5": "agent.discount must be in 0..1, got 1.5",
    "sim agent.critics=1": "agent.subset must be <= agent.critics (1), got 2",
    "sim agent=iql agent.policy_polyak=3": "agent.policy_polyak must be in 0..1, got 3.0",
    "sim agent=iql agent.policy_polyak=0": "agent.policy_polyak must be > 0, got 0.0",
    "sim agent=cql agent.backup_entropy=true": "agent.backup_entropy=true goes with agent.backup_actions=1, got 10: "
    "the target is the best of several actions, which has no entropy",
    "sim agent=calql agent.critics=4 agent.subset=3": "agent.subset=3 goes with agent.backup_actions=1, got 10: of "
    "several actions the target asks all critics; drop one of them",
    "sim learner.capacity=50": "learner.min_online must be <= learner.capacity (50), got 100: batches would never draw "
    "from what the actors bring",
    "sim learner.publish_period=0": "learner.publish_period must be >= 1, got 0",
    "sim steps=-1": "steps must be >= 1, got -1",
    "sim agent=bc demos=none": "agent=bc learns from demonstrations alone, and there are none: got demos=none; set "
    "demos=script:20 or demos=<file>, or learn from corrections too: agent=hg_dagger",
    "sim agent=hg_dagger demos=none human=none": "agent=hg_dagger learns from demonstrations and corrections, and "
    "there are neither: got demos=none human=none; set demos=script:20 or demos=<file>, or let somebody correct: "
    "human=script",
    "sim learner.interventions=lagrang": "learner.interventions must be one of plain, lagrange, takeover, got lagrang; "
    "did you mean lagrange?",
    "sim agent=bc learner.interventions=takeover": "learner.interventions=takeover goes with agent=rlpd or sac, got "
    "agent=bc; drop one of them",
    "sim agent=sac learner.interventions=lagrange": "learner.interventions=lagrange needs human actions in every "
    "batch: agent.prior_share > 0, got 0.0",
    "sim agent.gripper=discreet": "agent.gripper must be continuous or discrete, got discreet",
    "sim agent.takeover_steps=0": "agent.takeover_steps must be >= 1, got 0",
    "sim agent.takeover_cost=-1": "agent.takeover_cost must be >= 0, got -1.0",
    "sim learner.checkpoint_period_s=-1": "learner.checkpoint_period_s must be > 0, got -1.0",
    "sim actor.max_lead_steps=0": "actor.max_lead_steps must be >= 1, got 0",
    "sim actor.pace=fast": "pace must be one of learner, clock, got fast",
    "sim eval_episodes=0": "episodes must be >= 1, got 0",
    "sim reward=tcp://gpu:5556": "reward=tcp://gpu:5556 leaves this machine, and the rooms of handrail sim have no "
    "keys for that: serve it at tcp://127.0.0.1:5556 there, forward the port, ssh -N -L 5556:127.0.0.1:5556 gpu, and "
    "set reward=tcp://127.0.0.1:5556; or start handrail learner and handrail actor, which have keys",
    "sim stop_at=2": "stop_at is a success rate in 0..1 (0 excluded), got 2.0",
    "sim seed=-1": "seed must be >= 0, got -1",
    "sim steps": "arguments are written key=value, got steps" + HELP,
    "sim =5": "arguments are written key=value, got =5" + HELP,
    "sim +foo=1": "arguments are written key=value, got +foo=1" + HELP,
    "sim ~agent": "arguments are written key=value, got ~agent" + HELP,
    "sim run=a(b": "no viable alternative at input 'a(b'; put quotes around values with special characters",
    "sim agent.name=sac": "agent.name follows from agent=rlpd|sac|bc|hg_dagger|iql|cql|calql|td3bc|qc|gqn|cpl" + HELP,
    "sim env.id=Foo-v0": "env.id goes with env=gym; add env=gym, or drop env.id=Foo-v0",
    "sim env=gym": "env.id must be given: handrail sim env.id=...; see handrail sim --help",
    "sim env.image_size=8": "image_size must be 16 to 512 pixels, got 8",
    "sim demos=script:0": "demos=script:<n> needs a number of episodes >= 1, got script:0; e.g. demos=script:20",
    "sim demos=script:x": "demos=script:<n> needs a number of episodes >= 1, got script:x; e.g. demos=script:20",
    "sim demos=gone.sqlite": "demos must be none, script:<n> or a file of demonstrations, and there is no file "
    "gone.sqlite; record one: handrail demos record --script out=gone.sqlite",
    "sim resume=true": "resume=true needs run=<folder of the run to go on with>",
    "sim run=gone resume=true": "there is no run to resume in gone; check run=<folder>, or drop resume=true",
    "sim run=/proc/none": "cannot write /proc/none/config.json: No such file or directory; name another folder",
    "sim --cfg": "--cfg takes job, as in handrail sim --cfg job",
    "sim --cfg hydra": "--cfg takes job, as in handrail sim --cfg job",
    "eval": "judge the policy of a run, or an external one: set run=<folder>, or policy=external",
    "eval steer=runs/a": "steer= goes with policy=external; add that, or drop steer=runs/a",
    "eval policy=externl": "policy must be run or external, got externl; did you mean external?",
    "actor policy=external": "policy=external is served somewhere: set policy_address=tcp://<host>:<port>; for one of "
    "a run's start handrail policy serve run=<run>",
    "actor policy=external policy_address=gpu:5557": "policy_address must be tcp://<host>:<port>, got gpu:5557",
    "actor policy=external policy_address=tcp://127.0.0.1:5557 steer=gone": "steer= names a run, or its "
    "critic.weights, and there is no gone",
    "actor policy=external policy_address=tcp://127.0.0.1:5557 external.candidates=0": "external.candidates must be in "
    "1..1024, got 0",
    "policy": "handrail policy takes the sub-verb serve, got nothing",
    "policy serve": "run must be given: handrail policy run=...; see handrail policy --help",
    "policy serve run=gone": "there is no run in gone; check run=<folder>",
    "eval run=gone": "there is no run in gone; check run=<folder>",
    "eval run=. episodes=0": "episodes must be >= 1, got 0",
    "actor learner=gpu-box": "learner must be tcp://<host>:<port>, got gpu-box",
    "actor learner=tcp://gpu-box": "learner must be tcp://<host>:<port>, got tcp://gpu-box",
    "actor learner=tcp://10.0.0.1:5555": "tcp://10.0.0.1:5555 leaves this machine, so it needs keys: no-keys holds no "
    "actor's key: run handrail keys new learner on the learner's machine, then here what it prints; or set "
    "link.insecure=true on a network you trust",
    "actor link.name=robot-1 link.keys=mine": "there is no mine/robot-1.key: run handrail keys new robot-1",
    "learner bind=tcp://0.0.0.0:5555": "tcp://0.0.0.0:5555 leaves this machine, so it needs keys: there is no "
    "no-keys/learner.key: run handrail keys new learner; or set link.insecure=true on a network you trust",
    "learner link.keys=mine": "there is no mine/learner.key: run handrail keys new learner",
    "learner link.name=robot-1": "handrail learner has no key link.name; did you mean link.keys?; see "
    "handrail learner --help",
    "keys reovke": "handrail keys takes new, allow, revoke, show, got reovke; did you mean revoke?",
    "keys new": "write handrail keys new <name> [learner=<public key>], got nothing",
    "keys new a b": "write handrail keys new <name> [learner=<public key>], got a b",
    "keys new learner=x": "write handrail keys new <name> [learner=<public key>], got learner=x",
    "keys new Robot": "a key's name is 1 to 32 small letters, digits, dots and dashes, e.g. robot-1, got Robot",
    "keys new robot-1 learner=hrpub_x": "a public key is hrpub_ and 48 characters, got 7 in all; copy the whole line",
    "keys new learner learner=hrpub_x": "learner= goes with a robot's key: handrail keys new robot-1 learner=hrpub_x; "
    "got the name learner",
    "keys allow robot-1": "write handrail keys allow <name> <public key>, got robot-1",
    "keys allow robot-1 hrsec_x": "this is a private key (hrsec_...), wanted is a public one (hrpub_...)",
    "keys revoke": "write handrail keys revoke <name>, got nothing",
    "keys show me": "handrail keys show takes nothing more, got me",
    "demos": "handrail demos takes record, show, check, got nothing; see handrail demos --help",
    "demos recrod": "handrail demos takes record, show, check, got recrod; did you mean record?",
    "demos record": "demonstrations need somebody who shows the task: --script, or "
    "human=spacemouse|spacemice|gamepad|keyboard|joy|twist|leader; got human=none",
    "demos record --script keep=sucess": "keep must be one of success, all, got sucess; did you mean success?",
    "demos show": "path must be given: handrail demos show <path>; see handrail demos show --help",
    "demos show gone.sqlite": "there is no file gone.sqlite; name a file of demonstrations or the folder of a run",
    "demos show .": ". holds no steps.sqlite; name a file of demonstrations or the folder of a run",
    "demos show a episodes=many": "handrail demos show: episodes must be a whole number >= 1, got many",
    "demos show a vidoe=x.mp4": "handrail demos show has no key vidoe; did you mean video?; see "
    "handrail demos show --help",
    "demos check a b": "handrail demos check takes one path, got a and b",
    "demos check a --jsno": "handrail demos check has no --jsno; did you mean --json?; see handrail demos check --help",
    "demos check a json=": "json= needs a value; see handrail demos check --help",
    "report": "run must be given: handrail report <run>; see handrail report --help",
    "demos record --script episodes=0": "episodes must be >= 1, got 0",
    "demos record --script noise=-1": "noise must be >= 0, got -1.0",
    "doctor --jsno": "handrail doctor takes --json only, got --jsno",
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HANDRAIL_KEYS", "no-keys")
    monkeypatch.setattr(cli, "stop_on_sigterm", lambda: None)


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_word_is_answered_exactly(words: str, tmp_path: Path):
    with pytest.raises(UserError) as refused:
        cli.run(words.split())
    assert str(refused.value) == WRONG[words]
    assert not any(tmp_path.iterdir()), "nothing may be left behind"


def test_negative_steps_are_refused():
    with pytest.raises(UserError, match=r"steps must be >= 1, got -1$"):
        cli.run(["sim", "steps=-1"])


def archive(path: Path, task: str = "reach", steps: int = 0) -> None:
    from experience import STREAM, make_step

    spec = make_spec(size=64, task=task)
    with StepStore.open(path, spec) as store:
        for number in range(steps):
            store.insert(STREAM, number + 1, make_step(spec, number))
        store.commit()


def test_a_folder_that_holds_a_run_is_not_written_to(tmp_path: Path):
    archive(tmp_path / "old" / "steps.sqlite", steps=1)
    with pytest.raises(UserError) as refused:
        cli.run(["sim", "run=old"])
    assert str(refused.value) == "old holds a run already; set resume=true to go on with it, or run=<another folder>"
    assert not (tmp_path / "old" / "config.json").exists()


def test_a_folder_that_never_got_a_step_is_no_run(tmp_path: Path):
    archive(tmp_path / "old" / "steps.sqlite")
    verbs._check_run(tmp_path / "old", resume=False)


def test_what_has_learned_without_a_step_of_its_own_is_not_begun_on_top_of_before_it_is_resumed(tmp_path: Path):
    (tmp_path / "checkpoints" / "0").mkdir(parents=True)
    verbs._check_run(tmp_path, resume=False)
    (tmp_path / "checkpoints" / "40").mkdir()
    with pytest.raises(UserError, match="holds a run already; set resume=true to go on with it"):
        verbs._check_run(tmp_path, resume=False)


def test_demonstrations_of_another_task_are_refused_with_both_sides(tmp_path: Path):
    archive(tmp_path / "demos.sqlite")
    for verb in ("sim", "learner"):
        with pytest.raises(UserError) as refused:
            cli.run([verb, "demos=demos.sqlite", "task=pick_cube", "obs=state"])
        assert str(refused.value) == (
            "the file of demonstrations demos.sqlite is of env=sim task=reach obs=pixels env.image_size=64, this run "
            "is of env=sim task=pick_cube obs=state; set the same keys for both"
        )
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("demos.sqlite")] == []


def test_a_file_that_is_no_demonstrations_is_refused(tmp_path: Path):
    (tmp_path / "notes").write_text("these are my notes" * 100)
    with pytest.raises(UserError, match="no SQLite file"):
        cli.run(["sim", "demos=notes"])


def test_a_policy_that_is_not_there_is_named_by_the_room(tmp_path: Path):
    from actor.config import EvalConfig
    from actor.runs import load_run
    from envs.config import EnvConfig

    with pytest.raises(UserError, match=r"there is no policy in .* \(policy.weights is missing\)"):
        load_run(Path(EvalConfig(run=str(tmp_path), env=EnvConfig()).run), None, explores=False)  # type: ignore[arg-type]


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.run(list(words)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_without_a_verb_the_usage_names_every_verb(words: list[str], capsys: pytest.CaptureFixture[str]):
    text = said(capsys, *words)
    assert text == cli._USAGE
    for verb in {*(name.split()[0] for name in verbs.RUN), "doctor", "keys"}:
        assert f"\n  {verb} " in text


@pytest.mark.parametrize("verb", verbs.RUN)
def test_help_gives_examples_and_every_key_and_its_examples_work(verb: str, capsys: pytest.CaptureFixture[str]):
    text = said(capsys, *verb.split(), "--help")
    for key in keys_of(verb):
        assert f"\n  {key}=" in text
    assert "env.kind" not in text
    assert max(map(len, text.splitlines())) <= 120
    for example in cli._EXAMPLES[verb]:
        name, *words = shlex.split(example.replace("<run>", "a-run").partition("  #")[0])[1:]
        if name == "demos" and words[0] != "record":
            continue
        if name == "demos":
            words = ["human=script", *words[2:]]
        if name == "trunk":
            words = words[1:]
        if name in ("rewards", "policy"):
            name, words = verb, words[1:]
        compose_verb(name, verbs.with_defaults(name, words))


def test_cfg_job_prints_the_resolved_configuration_and_starts_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    import yaml

    config = yaml.safe_load(said(capsys, "sim", "steps=7", "--cfg", "job", "obs=state"))
    assert (config["steps"], config["obs"], config["env"]["kind"]) == (7, "state", "sim")
    assert not any(tmp_path.iterdir())


def remember(run: Path, *words: str) -> None:
    verbs.write_json(run / verbs.CONFIG, {"verb": "sim", "words": list(words)})


def test_a_resumed_run_has_its_words_again_and_new_ones_win(tmp_path: Path):
    remember(tmp_path / "r", "task=reach", "obs=state", "steps=50")
    for yes in ("true", "True"):
        config = compose_verb("sim", verbs.with_defaults("sim", ["run=r", f"resume={yes}", "steps=90"]))
        assert (config.task, config.obs, config.steps, config.resume) == ("reach", "state", 90, True)


def test_an_evaluation_takes_the_environment_of_the_run_and_nothing_else(tmp_path: Path):
    remember(tmp_path / "r", "task=reach", "obs=state", "steps=50", "seed=3", "agent=sac")
    config = compose_verb("eval", verbs.with_defaults("eval", ["run=r"]))
    assert (config.task, config.obs, config.seed) == ("reach", "state", 1_000_000)


def test_a_foreign_environment_has_no_scripts_also_when_its_run_is_resumed(tmp_path: Path):
    words = ["env=gym", "env.id=Pendulum-v1"]
    config = compose_verb("sim", verbs.with_defaults("sim", words))
    assert (config.human.kind, config.demos) == ("none", "none")
    remember(tmp_path / "r", *words)
    config = compose_verb("sim", verbs.with_defaults("sim", ["run=r", "resume=true"]))
    assert (config.human.kind, config.demos, config.env.id) == ("none", "none", "Pendulum-v1")


@pytest.mark.parametrize(
    ("verb", "words", "wanted"),
    [
        ("sim", "task=peg_insert", ("10000", "-1.5", "100.0", "trunk", "128")),
        ("sim", "task=peg_insert obs=state", ("4000", "-1.5", "30.0", "conv", "64")),
        ("sim", "task=peg_insert steps=9 agent.bc_weight=1 env.image_size=64", ("9", "-1.5", "1.0", "conv", "64")),
        ("sim", "task=peg_insert agent=bc obs=state", ("3000", None, None, "conv", "64")),
        ("sim", "task=pick_cube", ("3000", "-0.5", "3.0", "conv", "64")),
        ("sim", "task=peg_insert run=r resume=true", ("3000", "-0.5", "3.0", "conv", "64")),
        ("learner", "task=peg_insert", ("3000", "-1.5", "100.0", "conv", "64")),
    ],
)
def test_a_task_brings_the_settings_that_it_is_learned_with_and_what_is_said_wins(
    verb: str, words: str, wanted: tuple, capsys: pytest.CaptureFixture[str]
):
    given = words.split()
    told = with_suited(verb, given)
    config = compose_verb(verb, told)
    agent = config.agent
    found = config.steps, agent.get("target_entropy_per_dim"), agent.get("bc_weight"), agent.encoder
    assert tuple(map(str, (*found, config.env.get("image_size", "")))) == tuple(map(str, wanted))
    if agent.encoder == "trunk":
        assert trunk_file(None, task=config.task, image_size=config.env.image_size).is_file()
    assert ("unless you say otherwise" in capsys.readouterr().err) == (told != given)


@pytest.mark.parametrize(
    ("words", "size"),
    [("", 128), ("resume=true", 128), ("env.image_size=96", 96), ("obs=state", 64), ("task=reach", 64)],
)
def test_demonstrations_of_the_peg_are_seen_as_its_runs_see_them(words: str, size: int):
    told = with_suited("demos", ["task=peg_insert", "out=d.sqlite", *words.split()])
    assert compose_verb("demos", told).env.image_size == size


def test_new_runs_are_numbered_and_never_share_a_folder(tmp_path: Path):
    from handrail.values import new_run

    config = compose_verb("sim", ["task=reach"])
    first = new_run(config)
    first.mkdir(parents=True)
    second = new_run(config)
    assert first != second
    assert first.name.endswith("-reach-1")
    assert second.name.endswith("-reach-2")


def test_a_script_that_was_stopped_has_more_to_record_and_a_finished_one_has_not(tmp_path: Path):
    from experience import EPISODE_LENGTH

    demos = tmp_path / "demos.sqlite"
    config = compose_verb("sim", ["demos=script:2"])
    assert not verbs._is_recorded(config, demos)
    archive(demos, steps=2 * EPISODE_LENGTH - 1)
    assert not verbs._is_recorded(config, demos)
    archive(tmp_path / "whole.sqlite", steps=2 * EPISODE_LENGTH)
    assert verbs._is_recorded(config, tmp_path / "whole.sqlite")
    assert verbs._is_recorded(compose_verb("sim", ["demos=none"]), None)


def test_who_compares_pictures_is_named_by_keys_of_its_own():
    words = [
        "runs=[r]",
        "out=a",
        "question=lift it, (high)",
        "vlm.model=m",
        "vlm.endpoint=http://h/v1",
        "accuracy=[1,1]",
    ]
    config = compose_verb("rewards prefer", verbs.with_defaults("rewards prefer", words))
    told = settings.reward_settings("prefer", config)
    assert (told.question, told.vlm.model, told.vlm.endpoint) == ("lift it, (high)", "m", "http://h/v1")
    assert told.accuracy == [1.0, 1.0]
    assert told.vlm.parallel == 8
    for wrong, said in (
        ("vlm.endpoint=localhost", "must begin with http://"),
        ("vlm.modle=x", "did you mean vlm.model"),
        ("answerer=persn", "did you mean person"),
    ):
        with pytest.raises(UserError, match=said):
            settings.reward_settings("prefer", compose_verb("rewards prefer", [*words[:2], "vlm.model=m", wrong]))


def test_a_learned_reward_names_its_model_and_needs_frames(tmp_path: Path):
    folder = tmp_path / "m"
    folder.mkdir()
    offline = ["mode=offline", "archive=[r]", f"reward=preference:{folder}"]

    def told(*words: str):
        config = compose_verb("learner", list(words))
        return settings.learner_settings(config, run=tmp_path, bind="tcp://127.0.0.1:1", demos=None)

    with pytest.raises(UserError, match=r"there is no model.json in .*train one: .*kind=preference preferences="):
        told(*offline)
    (folder / "model.json").write_text('{"kind": "preference", "version": "preference-1"}')
    (tmp_path / "r").mkdir()
    for text, said in (("{", "is damaged"), ('{"kind": "success", "version": "v"}', "holds a model of kind success")):
        (folder / "model.json").write_text(text)
        with pytest.raises(UserError, match=said):
            told(*offline)
    (folder / "model.json").write_text('{"kind": "preference", "version": "preference-1"}')
    with pytest.raises(UserError, match="set obs=pixels, got obs=state"):
        told(f"reward=preference:{folder}", "obs=state")
    assert told(f"reward=preference:{folder}", "obs=pixels").reward_version == "preference-1"
    assert values.model_of(f"preference:{folder}") == folder
    service = settings.rewarding_settings(folder, tmp_path)
    assert (service.run, service.label) == (str(tmp_path), "all")
    with pytest.raises(UserError, match="say it to handrail learner, run handrail rewards serve model="):
        settings.rewarding_settings(folder, None)
