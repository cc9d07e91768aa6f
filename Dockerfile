# flash in a container, for arm64 (a Raspberry Pi with a 64-bit system, Jetson, Graviton) and amd64:
#   docker build -t flash .
#   docker run --rm -v "$PWD:/work" --user "$(id -u):$(id -g)" flash search --target rpi3b
# For the other architecture: docker buildx build --platform linux/arm64 -t flash .
# Not built by CI: tests/test_dockerfile.py checks that what it copies and installs exists.
# Every dependency has wheels for both, so nothing is compiled. The core and the extra onnx.
FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY flash flash
COPY hw_profiles hw_profiles
COPY models models
COPY scripts/profile_device.py scripts/profile_device.py
RUN python -m venv /opt/flash && /opt/flash/bin/pip install --no-cache-dir ".[onnx]"

FROM python:3.12-slim
COPY --from=build /opt/flash /opt/flash
RUN useradd --create-home flash && install -d -o flash /work
USER flash
WORKDIR /work
ENTRYPOINT ["/opt/flash/bin/flash"]
CMD ["--help"]
