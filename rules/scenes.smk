# From images to arrays and points: rendering, frames of videos, structure from motion, import, sparse points.
rule render_views:
    input:
        settings=frozen("render_views"),
        # Which program renders, and where it lies, is no reason to render again.
        program=ancient(frozen("blender")),
        blend=lambda wildcards: scene_of(wildcards).path,
    output:
        f"{RENDERED}/cameras.json",
        directory(f"{RENDERED}/images"),
    log:
        log_of(RENDERED),
    benchmark:
        benchmark_of(RENDERED)
    wildcard_constraints:
        scene=names_of("blend"),
    # As for `sfm`: nothing of the scene can start before.
    priority: 3
    # Blender is no part of it: `render.executable` names one.
    conda:
        "../envs/core.yaml"
    threads: 4
    resources:
        **asked(8000, 240),
    params:
        work=state_of(VIEWS),
    message:
        "Rendering {wildcards.part} views {wildcards.first} to {wildcards.last} of {wildcards.scene}"
    script:
        "../workflow_scripts/render_views.py"


rule views:
    input:
        settings=frozen("views"),
        cameras=of_scene(inputs.rendered, "cameras.json"),
        images=of_scene(inputs.rendered, "images"),
    output:
        below(*layout.VIEW_FILES),
        [directory(folder) for folder in below(*layout.VIEW_FOLDERS)],
    log:
        log_of(VIEWS),
    benchmark:
        benchmark_of(VIEWS)
    wildcard_constraints:
        scene=names_of("blend"),
    localrule: True
    conda:
        "../envs/core.yaml"
    resources:
        **asked(1000, 10),
    params:
        work=state_of(VIEWS),
    message:
        "Making a data set of the views of {wildcards.scene}"
    script:
        "../workflow_scripts/views.py"


rule frames:
    input:
        settings=frozen("frames"),
        video=lambda wildcards: scene_of(wildcards).path,
    output:
        f"{RESULTS}/{layout.FRAME_LIST}",
        directory(f"{RESULTS}/{layout.FRAME_PHOTOS}"),
    log:
        log_of(FRAMES),
    benchmark:
        benchmark_of(FRAMES)
    wildcard_constraints:
        scene=names_of("video"),
    # As for `sfm`: nothing of the scene can start before.
    priority: 3
    conda:
        "../envs/scenes.yaml"
    threads: 4
    resources:
        **asked(4000, 120),
    params:
        work=state_of(FRAMES),
    message:
        "Choosing frames of the video of {wildcards.scene}"
    script:
        "../workflow_scripts/extract_frames.py"


rule sfm:
    input:
        settings=frozen("sfm"),
        photos=of_scene(inputs.data_files),
    output:
        SFM_MODEL,
        f"{SCENE}/sfm/report.json",
    log:
        log_of(f"{SCENE}/sfm"),
    benchmark:
        benchmark_of(f"{SCENE}/sfm")
    wildcard_constraints:
        scene=names_of("photos", "video"),
    # It is the head of a scene's longest chain of jobs: nothing of the scene can start before.
    priority: 3
    conda:
        "../envs/scenes.yaml"
    threads: 8
    resources:
        **asked(8000, 240),
    params:
        work=state_of(f"{SCENE}/sfm"),
    message:
        "Finding the cameras of {wildcards.scene} from its photos"
    script:
        "../workflow_scripts/sfm.py"


rule import_scene:
    input:
        settings=frozen("import_scene"),
        data=of_scene(inputs.data_files),
        sfm=of_scene(inputs.sfm_model),
    output:
        SCENE_FILES,
    log:
        log_of(f"{SCENE}/scene"),
    benchmark:
        benchmark_of(f"{SCENE}/scene")
    priority: 3
    conda:
        "../envs/core.yaml"
    resources:
        **asked(4000, 30),
    message:
        "Importing {wildcards.scene}"
    script:
        "../workflow_scripts/import_scene.py"


rule read_points:
    input:
        settings=frozen("read_points"),
        scene=SCENE_FILES,
        model=of_scene(inputs.sparse_model),
    output:
        POINTS,
    log:
        log_of(f"{SCENE}/points"),
    benchmark:
        benchmark_of(f"{SCENE}/points")
    wildcard_constraints:
        scene=names_of("photos", "video", "colmap"),
    priority: 3
    localrule: True
    conda:
        "../envs/core.yaml"
    resources:
        **asked(4000, 30),
    message:
        "Reading the sparse points of {wildcards.scene}"
    script:
        "../workflow_scripts/read_points.py"


rule triangulate:
    input:
        settings=frozen("triangulate"),
        scene=SCENE_FILES,
    output:
        POINTS,
    log:
        log_of(f"{SCENE}/points"),
    benchmark:
        benchmark_of(f"{SCENE}/points")
    wildcard_constraints:
        scene=names_of("blender", "nerfstudio", "nerfpp", "nsvf", "blend"),
    priority: 3
    conda:
        "../envs/scenes.yaml"
    threads: 2
    resources:
        **asked(8000, 120),
    params:
        work=state_of(f"{SCENE}/points"),
    message:
        "Triangulating sparse points of {wildcards.scene} from its known cameras"
    script:
        "../workflow_scripts/triangulate.py"
