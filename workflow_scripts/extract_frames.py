"""Choose a video's best frames as photos."""

from _job import Job, run


def main(job: Job) -> None:
    from pathlib import Path

    from dac.scenes.photos.video import extract_frames
    from dac.settings import VideoSettings

    extract_frames(
        Path(job.input.video),
        job.section("video", VideoSettings),
        job.out,
        Path(job.params.work),
        threads=job.threads,
    )


run(main, snakemake)
