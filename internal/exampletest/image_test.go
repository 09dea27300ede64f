package exampletest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"portway/internal/dockertest"
	"portway/internal/need"
)

// The promises: an image, and the binary in it, which has the DNS providers.
const (
	maxImage  = 45e6
	maxBinary = 40e6
)

// binarySize measures what the image for an architecture was made of.
func binarySize(t *testing.T, arch string) {
	t.Helper()
	root, err := dockertest.Root()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(root, "dist", arch, "portway"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("FIGURES binary portway for %s: %.1f MB stripped (limit 40)", arch, float64(info.Size())/1e6)
	if info.Size() > maxBinary {
		t.Errorf("the binary for %s has %d bytes", arch, info.Size())
	}
}

func TestImages(t *testing.T) {
	t.Parallel()
	engine := dockertest.Require(t)
	portway, whoami := dockertest.Product(t)
	for title, name := range map[string]string{"portway": portway, "portway-whoami": whoami} {
		info, err := engine.ImageInspect(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("FIGURES image %s: %.1f MB (limit 45)", title, float64(info.Size)/1e6)
		if info.Size > maxImage {
			t.Errorf("the image %s has %d bytes", title, info.Size)
		}
		if info.Architecture != runtime.GOARCH || info.Os != "linux" {
			t.Errorf("the image %s is for %s/%s", title, info.Os, info.Architecture)
		}
		for _, label := range []string{"title", "description", "licenses"} {
			if info.Config.Labels["org.opencontainers.image."+label] == "" {
				t.Errorf("the image %s has no label %s", title, label)
			}
		}
		if info.Config.Healthcheck == nil {
			t.Errorf("the image %s has no health check", title)
		}
	}
	binarySize(t, runtime.GOARCH)
	info, err := engine.ImageInspect(t.Context(), portway)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := info.Config.Volumes["/data"]; !ok {
		t.Error("/data is no volume: certificates would go with the container")
	}
	for _, port := range []string{"80/tcp", "443/tcp", "443/udp"} {
		if _, ok := info.Config.ExposedPorts[port]; !ok {
			t.Errorf("%s is not exposed", port)
		}
	}
}

// The Dockerfile must give the same image with BuildKit, which newer engines
// use, as with the legacy builder, which all other tests use here.
func TestBuildKit(t *testing.T) {
	t.Parallel()
	engine := dockertest.Require(t)
	dockertest.Product(t) // builds the binaries
	name := buildKit(t, runtime.GOARCH)
	info, err := engine.ImageInspect(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if info.Architecture != runtime.GOARCH || !slices.Equal(info.Config.Entrypoint, []string{"/portway"}) {
		t.Errorf("for %s, starts %v", info.Architecture, info.Config.Entrypoint)
	}
	c := engine.Run(t, dockertest.Spec{Image: name, Cmd: []string{"--docker=off"}})
	healthy(t, c.ID)
}

// The image for the other architecture is built here although it cannot run
// here: what is checked is that it says what it is, and how large it is.
func TestOtherArchitecture(t *testing.T) {
	t.Parallel()
	engine := dockertest.Require(t)
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	name := buildKit(t, other)
	info, err := engine.ImageInspect(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("FIGURES image portway for %s: %.1f MB (limit 45)", other, float64(info.Size)/1e6)
	binarySize(t, other)
	if info.Architecture != other || info.Size > maxImage {
		t.Errorf("for %s, %d bytes", info.Architecture, info.Size)
	}
}

// buildKit builds the binary and the image for an architecture with BuildKit.
func buildKit(t *testing.T, arch string) (name string) {
	t.Helper()
	root, err := dockertest.Root()
	if err != nil {
		t.Fatal(err)
	}
	name = dockertest.Label + "/buildkit:" + arch + strconv.Itoa(os.Getpid())
	config := withBuildx(t, root)
	for _, args := range [][]string{
		{"make", "--no-print-directory", "binaries", "ARCH=" + arch},
		{"docker", "build", "-q", "--target", "prebuilt", "--platform", "linux/" + arch, "--label", fmt.Sprintf("%s=%d", dockertest.Label, os.Getpid()), "-t", name, "."},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=1", "DOCKER_CONFIG="+config)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	return name
}

// withBuildx gives a Docker configuration with buildx, built from the Go module
// proxy where the machine has none.
func withBuildx(t *testing.T, root string) string {
	t.Helper()
	if exec.Command("docker", "buildx", "version").Run() == nil {
		return os.Getenv("DOCKER_CONFIG")
	}
	plugin := filepath.Join(root, ".cache/bin/docker-buildx")
	if _, err := os.Stat(plugin); err != nil {
		need.Missing(t, "no buildx; make test gets it: %v", err)
	}
	config := t.TempDir()
	if err := os.Mkdir(filepath.Join(config, "cli-plugins"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(plugin, filepath.Join(config, "cli-plugins", "docker-buildx")); err != nil {
		t.Fatal(err)
	}
	return config
}
