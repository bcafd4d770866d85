package org.metaflowmaps.bindings;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.bytedeco.javacpp.Loader;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.DisabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** Unpacks the libraries of a small jar over different earlier contents. */
class NativeCacheTest {
    @TempDir
    private Path folder;

    private final byte[] content = new byte[300_000];
    private Path cache = Path.of("");
    private Path library = Path.of("");
    private URLClassLoader loader = new URLClassLoader(new URL[0]);

    @BeforeEach
    void pack() throws IOException {
        new Random(3).nextBytes(content);
        Path jar = folder.resolve("small.jar");
        String place = "org/bytedeco/pytorch/" + Loader.getPlatform() + "/";
        try (OutputStream out = Files.newOutputStream(jar);
                JarOutputStream entries = new JarOutputStream(out)) {
            entries.putNextEntry(new JarEntry(place));
            for (String name : List.of("libone.so", "libtwo.so.1", "notes.cpp", "deeper/libthree.so")) {
                entries.putNextEntry(new JarEntry(place + name));
                entries.write(content);
            }
        }
        loader = new URLClassLoader(new URL[] {jar.toUri().toURL()}, null);
        cache = Files.createDirectory(folder.resolve("cache")).toRealPath();
        library = cache.resolve("small.jar").resolve(place + "libone.so");
    }

    @AfterEach
    void close() throws IOException {
        loader.close();
    }

    private void start() throws IOException {
        try (NativeCache open = NativeCache.open(cache, loader)) {
            assertWhole();
            open.loaded();
        }
    }

    private void assertWhole() throws IOException {
        assertTrue(Files.isRegularFile(library, LinkOption.NOFOLLOW_LINKS));
        assertArrayEquals(content, Files.readAllBytes(library));
        assertArrayEquals(content, Files.readAllBytes(library.resolveSibling("libtwo.so.1")));
    }

    /** Names in a folder. */
    private static Set<String> names(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(file -> String.valueOf(file.getFileName())).collect(Collectors.toSet());
        }
    }

    private Set<String> beside() throws IOException {
        return names(library.resolveSibling("."));
    }

    private List<Path> lists() throws IOException {
        return names(cache).stream()
                .filter(name -> name.startsWith(".metaflowmaps-loaded-"))
                .map(cache::resolve)
                .toList();
    }

    @Test
    void unpacksLibrariesOnceAndNothingElse() throws IOException {
        start();
        assertEquals(Set.of("libone.so", "libtwo.so.1"), beside());
        Object first = Files.readAttributes(library, "creationTime,fileKey,lastModifiedTime");
        start();
        assertEquals(
                first,
                Files.readAttributes(library, "creationTime,fileKey,lastModifiedTime"),
                "the second start changes nothing");
    }

    @Test
    void rebuildsWhatIsDamaged() throws IOException {
        start();
        Files.write(library, new byte[1000]);
        start();
        Files.write(library, new byte[0]);
        start();
        Files.delete(library);
        start();
        // The right size, but other bytes.
        Files.write(library, new byte[content.length]);
        start();
        // A killed process leaves this file.
        Files.write(library.resolveSibling(".libone.so.tmp"), new byte[10]);
        start();
        assertEquals(Set.of("libone.so", "libtwo.so.1"), beside());
        assertEquals(1, lists().size());
        Files.delete(lists().getFirst());
        start();
        assertEquals(1, lists().size());
    }

    /** Other programs may share JavaCPP's folder and use other files of the same jars. */
    @Test
    @DisabledOnOs(value = OS.WINDOWS, disabledReason = "on Windows, symbolic links need administrator rights")
    void filesOfOtherProgramsStay() throws IOException {
        start();
        byte[] theirs = {1, 2, 3};
        for (String name : List.of("libtheirs.so", "libone_renamed.so", ".libtheirs.so.tmp", "notes.txt")) {
            Files.write(library.resolveSibling(name), theirs);
        }
        Files.createSymbolicLink(library.resolveSibling("libtheirs.so.1"), library.resolveSibling("libtheirs.so"));
        Files.createSymbolicLink(library.resolveSibling("libgone.so"), folder.resolve("gone"));
        Files.write(library, new byte[10]);
        start();
        assertEquals(
                Set.of(
                        "libone.so",
                        "libtwo.so.1",
                        "libtheirs.so",
                        "libone_renamed.so",
                        ".libtheirs.so.tmp",
                        "notes.txt",
                        "libtheirs.so.1"),
                beside());
        assertArrayEquals(theirs, Files.readAllBytes(library.resolveSibling("libtheirs.so")));
    }

    /** Two versions of a program have different jars, and one cache folder. */
    @Test
    void eachSetOfJarsHasItsOwnList() throws IOException {
        start();
        Path first = lists().getFirst();
        String listed = Files.readString(first);
        Path other = Files.copy(folder.resolve("small.jar"), folder.resolve("small-2.jar"));
        try (URLClassLoader newer = new URLClassLoader(new URL[] {other.toUri().toURL()}, null);
                NativeCache open = NativeCache.open(cache, newer)) {
            open.loaded();
        }
        assertEquals(2, lists().size());
        assertEquals(listed, Files.readString(first));
        assertTrue(NativeCache.wasLoaded(cache));
        assertFalse(NativeCache.wasLoaded(folder));
    }

    @Test
    @DisabledOnOs(value = OS.WINDOWS, disabledReason = "on Windows, symbolic links need administrator rights")
    void replacesALinkInsteadOfWritingThroughIt() throws IOException {
        start();
        Path other = Files.write(folder.resolve("other"), new byte[content.length]);
        Files.delete(library);
        Files.createSymbolicLink(library, other);
        start();
        assertArrayEquals(new byte[content.length], Files.readAllBytes(other));
    }

    @Test
    void aRebuildLeavesTheFileThatAnotherProcessHasMapped() throws IOException {
        start();
        Path held = Files.createLink(folder.resolve("held"), library);
        Files.setLastModifiedTime(library, FileTime.fromMillis(0));
        Files.delete(library.resolveSibling("libtwo.so.1"));
        start();
        assertArrayEquals(content, Files.readAllBytes(held));
        Files.write(library, new byte[7]);
        start();
        assertEquals(7, Files.size(held), "the damaged file was replaced, not written to");
    }

    /** Jars hold local times, so a process in another time zone expects another time for the same file. */
    @Test
    void onlyTheTimeDiffers() throws IOException {
        start();
        Object key = Files.getAttribute(library, "lastModifiedTime");
        byte[] mark = new byte[] {1};
        Path held = Files.createLink(folder.resolve("held"), library);
        Files.setLastModifiedTime(library, FileTime.fromMillis(3_600_000));
        start();
        assertEquals(key, Files.getAttribute(library, "lastModifiedTime"));
        Files.write(library, mark);
        assertArrayEquals(mark, Files.readAllBytes(held), "still the same file");
    }

    /** As on a network file system without locks. */
    @Test
    void aFolderThatCannotBeLockedIsNamedWithACure() throws IOException {
        FileChannel channel = FileChannel.open(folder.resolve("small.jar"));
        channel.close();
        IOException refused = assertThrows(IOException.class, () -> NativeCache.lock(cache, channel, true));
        String message = String.valueOf(refused.getMessage());
        assertTrue(
                message.contains("cannot lock the cache folder " + cache)
                        && message.contains("-Dorg.metaflowmaps.cache=DIR")
                        && message.contains("MFM_CACHE"),
                message);
    }

    @Test
    void oneAtATimeUnpacks() throws InterruptedException, IOException {
        int threads = 8;
        CountDownLatch go = new CountDownLatch(1);
        AtomicInteger inside = new AtomicInteger();
        AtomicInteger well = new AtomicInteger();
        List<Thread> started = new ArrayList<>();
        for (int i = 0; i < threads; i++) {
            started.add(Thread.ofPlatform().start(() -> {
                try {
                    go.await();
                    try (NativeCache open = NativeCache.open(cache, loader)) {
                        inside.incrementAndGet();
                        assertWhole();
                        open.loaded();
                        inside.decrementAndGet();
                    }
                    well.incrementAndGet();
                } catch (IOException | InterruptedException e) {
                    throw new AssertionError(e);
                }
            }));
        }
        go.countDown();
        for (Thread thread : started) {
            thread.join();
        }
        assertEquals(threads, well.get());
        assertEquals(0, inside.get());
        start();
    }

    @Test
    void aFolderThatMayOnlyBeRead() throws IOException {
        start();
        assumeTrue(cache.toFile().setWritable(false) && !Files.isWritable(cache), "this user may write everywhere");
        try {
            start();
            assertTrue(library.toFile().getParentFile().setWritable(false));
            Files.write(library, new byte[4]);
            IOException refused = assertThrows(IOException.class, () -> NativeCache.open(cache, loader));
            assertTrue(String.valueOf(refused.getMessage()).contains("may not be written"), refused.getMessage());
        } finally {
            assertTrue(cache.toFile().setWritable(true)
                    && library.toFile().getParentFile().setWritable(true));
        }
    }

    @Test
    void aFullDiskIsNamedWithFiguresAndLeavesNothingTorn() throws IOException, InterruptedException {
        Path disk = Files.createDirectory(folder.resolve("disk"));
        assumeTrue(
                Files.isExecutable(Path.of("/bin/mount"))
                        && run("mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk.toString()) == 0,
                "this user may not mount a small disk");
        try {
            IOException full = assertThrows(IOException.class, () -> NativeCache.open(disk, loader));
            String message = String.valueOf(full.getMessage());
            assertTrue(
                    message.contains("no space left")
                            && message.contains("MB are free")
                            && message.contains(disk.toString())
                            && message.contains("MFM_CACHE"),
                    message);
            try (Stream<Path> files = Files.walk(disk)) {
                assertEquals(
                        0,
                        files.filter(file -> file.toString().endsWith(".tmp")).count());
            }
        } finally {
            assertEquals(0, run("umount", disk.toString()));
        }
        assertFalse(Mount.isNoexec(folder.toAbsolutePath().getRoot()));
    }

    private static int run(String... command) throws IOException, InterruptedException {
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start()
                .waitFor();
    }

    @Test
    void theInnermostMountDecidesOnNoexec() {
        List<String> table = List.of(
                "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw",
                "30 22 0:25 / /tmp rw,nosuid,noexec shared:9 - tmpfs tmpfs rw",
                "31 30 0:26 / /tmp/my\\040disk rw - tmpfs tmpfs rw");
        assertTrue(Mount.isNoexec(table, Path.of("/tmp/a/b")));
        assertFalse(Mount.isNoexec(table, Path.of("/tmp/my disk/b")));
        assertFalse(Mount.isNoexec(table, Path.of("/tmpx")));
    }
}
