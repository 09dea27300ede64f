package exampletest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/image"

	"portway/internal/dockertest"
)

// maxImage is the promise for both images.
const maxImage = 25 << 20

func TestImages(t *testing.T) {
	t.Parallel()
	engine := dockertest.Require(t)
	portway, whoami := dockertest.Product(t)
	for title, name := range map[string]string{"portway": portway, "portway-whoami": whoami} {
		info, err := engine.ImageInspect(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("FIGURES image %s: %.1f MiB (limit 25)", title, float64(info.Size)/(1<<20))
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
	root, err := dockertest.Root()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("docker", "build", "-q", "--target", "prebuilt", "--label", dockertest.Label, "-t", "portway-test/buildkit", ".")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=1", "DOCKER_CONFIG="+withBuildx(t, root))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("docker", "image", "rm", "-f", "portway-test/buildkit").Run() })
	info, err := engine.ImageInspect(t.Context(), "portway-test/buildkit")
	if err != nil {
		t.Fatal(err)
	}
	if info.Architecture != runtime.GOARCH || !slices.Equal(info.Config.Entrypoint, []string{"/portway"}) {
		t.Errorf("for %s, starts %v", info.Architecture, info.Config.Entrypoint)
	}
	c := engine.Run(t, dockertest.Spec{Image: "portway-test/buildkit", Cmd: []string{"--docker=off"}})
	healthy(t, c.ID)
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
		if os.Getenv("CI") != "" || os.Getenv("PORTWAY_TEST_REQUIRE") == "1" {
			t.Fatalf("no buildx; make test gets it: %v", err)
		}
		t.Skipf("NOT RUN: no buildx: %v", err)
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

// arm64 is built here although it cannot run here: what is checked is that the
// image says what it is.
func TestOtherArchitecture(t *testing.T) {
	t.Parallel()
	engine := dockertest.Require(t)
	root, err := dockertest.Root()
	if err != nil {
		t.Fatal(err)
	}
	other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	tag := "portway-test/" + other
	for _, args := range [][]string{
		{"make", "--no-print-directory", "binaries", "ARCH=" + other},
		{"docker", "build", "-q", "--target", "prebuilt", "--platform", "linux/" + other, "--build-arg", "TARGETARCH=" + other, "--label", dockertest.Label, "-t", tag, "."},
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	t.Cleanup(func() { _, _ = engine.ImageRemove(t.Context(), tag, image.RemoveOptions{Force: true}) })
	info, err := engine.ImageInspect(t.Context(), tag)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("FIGURES image portway for %s: %.1f MiB (limit 25)", other, float64(info.Size)/(1<<20))
	if info.Architecture != other || info.Size > maxImage {
		t.Errorf("for %s, %d bytes", info.Architecture, info.Size)
	}
}
