#!/bin/sh
# Transcribes the samples with `tiny` on an emulated aarch64 processor, and compares the texts with those of this machine.
#
#     apt-get install qemu-user debootstrap        (as root, once)
#     sh scripts/bench/aarch64.sh FOLDER           (needs the network the first time; a transcript takes minutes)
#
# FOLDER gets a Debian for aarch64, of which only Python and the C library are used, and the packages of `asr` for that
# processor. ONNX Runtime is 1.24.4, because 1.32.0 ends at its import under the emulator of Debian 12;
# ONNXRUNTIME=1.20.1 chooses another. PYTHON is the interpreter of this machine, QEMU_CPU the emulated processor,
# MIRROR the mirror of Debian (by default that of debootstrap).
set -eu

folder=$(realpath -m "${1:?names no folder}")
version=${ONNXRUNTIME:-1.24.4}
python=${PYTHON:-python3}
export QEMU_CPU="${QEMU_CPU:-neoverse-n1}"
repository=$(realpath "$(dirname "$0")/../..")
mkdir -p "$folder"
cd "$folder"

if [ ! -e root/usr/bin/python3.11 ]; then
    debootstrap --foreign --arch=arm64 --variant=minbase --include=python3 bookworm root ${MIRROR:+"$MIRROR"}
    # The second stage would run as many programs under emulation as there are packages: unpacked files are enough.
    for package in root/var/cache/apt/archives/*.deb; do dpkg-deb -x "$package" root; done
fi
if [ ! -e "site-$version/onnxruntime" ]; then
    "$python" -m pip download -q -d "wheels-$version" --only-binary=:all: --python-version 3.11 --implementation cp \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
        av jinja2 jiwer numpy onnx "onnxruntime==$version" pyyaml safetensors soundfile soxr tqdm whisper-normalizer
    mkdir -p "site-$version"
    for wheel in "wheels-$version"/*.whl; do unzip -qo "$wheel" -d "site-$version"; done
    # These are Python alone, and one of them is only published as source.
    "$python" -m pip install -q --no-deps --target "site-$version" \
        'hydra-core>=1.3.2,<1.4' 'omegaconf>=2.3,<2.4' 'antlr4-python3-runtime==4.9.*'
fi

# Child processes start it by its own path, which the system can execute.
cat > python-aarch64 <<END
#!/bin/sh
exec qemu-aarch64 -L $folder/root -0 $folder/python-aarch64 $folder/root/usr/bin/python3.11 "\$@"
END
chmod +x python-aarch64

engine=${ENGINE:-onnx}
failed=0
# Decoded here: decoders of lossy formats differ in the last digits from processor to processor.
mkdir -p wav
for sample in ${SAMPLES:-"$repository"/data/samples/*.opus}; do
    wav=$folder/wav/$(basename "${sample%.*}").wav
    "$python" -c 'import sys, soundfile; soundfile.write(sys.argv[2], *soundfile.read(sys.argv[1]), subtype="PCM_16")' \
        "$sample" "$wav"
    sample=$wav
    here=$(PYTHONPATH=$repository "$python" -m asr transcribe "$sample" bundle=tiny workers=1 "engine=$engine")
    there=$(PYTHONHOME=$folder/root/usr PYTHONPATH=$repository:$folder/site-$version timeout 1800 ./python-aarch64 \
        -m asr transcribe "$sample" bundle=tiny workers=1 "engine=$engine" timeout=600)
    if [ "$here" = "$there" ]; then
        echo "same text: $(basename "$sample")"
    else
        failed=1
        echo "another text: $(basename "$sample")"
        echo "  here   $here"
        echo "  there  $there"
    fi
done
exit $failed
