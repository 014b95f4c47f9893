"""Model bundles: their cards (`card`), arrays (`arrays`) and files (`store`)."""

from asr.bundle.store import BUNDLE_FILES as BUNDLE_FILES
from asr.bundle.store import Bundle as Bundle
from asr.bundle.store import bundle_argument as bundle_argument
from asr.bundle.store import bundle_folder as bundle_folder
from asr.bundle.store import check_bundle_output as check_bundle_output
from asr.bundle.store import copy_bundle as copy_bundle
from asr.bundle.store import is_bundle_name as is_bundle_name
from asr.bundle.store import load_bundle as load_bundle
from asr.bundle.store import save_bundle as save_bundle
from asr.bundle.store import shipped_bundles as shipped_bundles
