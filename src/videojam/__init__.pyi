from videojam.errors import VideoJamError as VideoJamError
from videojam.guidance.config import Guidance as Guidance
from videojam.joint.convert import convert as convert
from videojam.models.describe import describe_model as describe_model
from videojam.models.load import load_model as load_model
from videojam.motion.code import MotionCode as MotionCode
from videojam.motion.rgb import flow_to_rgb as flow_to_rgb
from videojam.motion.rgb import rgb_to_flow as rgb_to_flow
from videojam.sampling.generate import generate as generate
from videojam.sampling.read_motion import read_motion as read_motion
from videojam.sampling.sample import sample as sample
from videojam.sampling.settings import SampleSettings as SampleSettings
from videojam.sampling.verify import verify as verify
from videojam.training.outcome.export import export as export
from videojam.training.run import train as train

__version__: str
__all__: list[str]
