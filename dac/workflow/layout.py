"""Where a scene's files lie below the results folder, but for its runs (`dac.runs`): patterns."""

SCENE_FILES = tuple(f"{{scene}}/scene/{name}" for name in ("scene.json", "images.npy", "masks.npy"))
SFM_MODEL = tuple(f"{{scene}}/sfm/{name}.bin" for name in ("cameras", "images", "points3D"))
POINTS = "{scene}/points/points.npz"
COVISIBILITY = "{scene}/covisibility/covisibility.npz"
GROUPS = "{scene}/{division}-{K}"

# What is made of a .blend file: chunks of rendered views, and the data set of them all.
RENDERED = "{scene}/rendered/{part}-{first}-{last}"
VIEWS = "{scene}/views"
VIEW_FILES = (f"{VIEWS}/transforms_train.json", f"{VIEWS}/transforms_test.json")
VIEW_FOLDERS = (f"{VIEWS}/train", f"{VIEWS}/test")

# What is made of a video: a list of the frames, and a folder of photos.
FRAMES = "{scene}/frames"
FRAME_LIST, FRAME_PHOTOS = f"{FRAMES}/frames.json", f"{FRAMES}/photos"
