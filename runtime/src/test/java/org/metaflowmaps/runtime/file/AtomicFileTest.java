package org.metaflowmaps.runtime.file;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AtomicFileTest {
    @TempDir
    Path folder;

    private Path target;

    @BeforeEach
    void oldContent() throws IOException {
        target = folder.resolve("model.bin");
        Files.writeString(target, "old");
    }

    private static void put(FileChannel channel, String text) throws IOException {
        channel.write(ByteBuffer.wrap(text.getBytes(UTF_8)));
    }

    private List<String> names() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    private void assertUntouched() throws IOException {
        assertEquals("old", Files.readString(target));
        assertEquals(List.of("model.bin"), names());
    }

    @Test
    void theOldContentStaysUntilTheEnd() throws IOException {
        AtomicFile.write(target, 3, channel -> {
            put(channel, "new");
            assertEquals("old", Files.readString(target));
            String temporary = names().getFirst();
            assertEquals(2, names().size());
            assertTrue(
                    temporary.matches(
                            "\\.model\\.bin\\." + ProcessHandle.current().pid() + "-\\d+\\.tmp"),
                    temporary);
        });
        assertEquals("new", Files.readString(target));
        assertEquals(List.of("model.bin"), names());
    }

    @Test
    void missingFoldersAreMade() throws IOException {
        Path deep = folder.resolve("a/b/c.txt");
        AtomicFile.write(deep, 0, channel -> put(channel, "x"));
        assertEquals("x", Files.readString(deep));
    }

    @Test
    void aFailureMidwayLeavesNothing() throws IOException {
        IOException thrown = new IOException("the source went away");
        IOException e = assertThrows(
                IOException.class,
                () -> AtomicFile.write(target, 0, channel -> {
                    put(channel, "half");
                    throw thrown;
                }));
        assertEquals("cannot write " + target + ": the source went away", e.getMessage());
        assertSame(thrown, e.getCause());
        assertUntouched();
    }

    @Test
    void errorsOfTheCallerPassUnchangedAndLeaveNothing() throws IOException {
        IllegalStateException bug = new IllegalStateException("bug");
        assertSame(
                bug,
                assertThrows(
                        IllegalStateException.class,
                        () -> AtomicFile.write(target, 0, channel -> {
                            put(channel, "half");
                            throw bug;
                        })));
        StackOverflowError error = new StackOverflowError();
        assertSame(
                error,
                assertThrows(
                        StackOverflowError.class,
                        () -> AtomicFile.write(target, 0, channel -> {
                            throw error;
                        })));
        assertUntouched();
    }

    @Test
    void anInterruptedWriterLeavesNothing() throws IOException {
        IOException e = assertThrows(
                IOException.class,
                () -> AtomicFile.write(target, 0, channel -> {
                    Thread.currentThread().interrupt();
                    put(channel, "half");
                }));
        assertTrue(Thread.interrupted(), "the interrupt is still there to see");
        assertTrue(String.valueOf(e.getMessage()).contains("interrupted"), e.getMessage());
        assertUntouched();
    }

    @Test
    void aFullDiskIsNamed() throws IOException {
        Path full = Path.of("/dev/full");
        assumeTrue(Files.exists(full), "this system has no /dev/full");
        IOException e = assertThrows(
                IOException.class,
                () -> AtomicFile.write(target, 5, channel -> {
                    put(channel, "half");
                    // A real failure from the kernel, as on a full device.
                    try (FileChannel device = FileChannel.open(full, StandardOpenOption.WRITE)) {
                        put(device, "more");
                    }
                }));
        assertTrue(
                String.valueOf(e.getMessage())
                        .matches("cannot write \\Q" + target
                                + "\\E: no space left: 5 bytes needed, \\d+ free in "
                                + "\\Q" + folder + "\\E: delete something there or write elsewhere"),
                e.getMessage());
        assertUntouched();
    }

    @Test
    void aFullDiskIsToldFromNumbersInAnyLanguage() throws IOException {
        long bytes = Long.MAX_VALUE;
        IOException e = assertThrows(
                IOException.class,
                () -> AtomicFile.write(target, bytes, channel -> {
                    throw new IOException("Auf dem Medium ist kein Platz");
                }));
        assertTrue(
                String.valueOf(e.getMessage()).contains("no space left: " + bytes + " bytes needed, "), e.getMessage());
        assertUntouched();
    }

    @Test
    void aFullDiskIsToldFromWordsWhereTheSizeIsUnknown() throws IOException {
        for (String words :
                List.of("No space left on device", "There is not enough space on the disk", "Disk quota exceeded")) {
            IOException e = assertThrows(
                    IOException.class,
                    () -> AtomicFile.write(target, 0, channel -> {
                        throw new IOException(words);
                    }));
            assertTrue(String.valueOf(e.getMessage()).matches(".*: no space left: \\d+ free in .*"), e.getMessage());
        }
        assertUntouched();
    }

    @Test
    void aFolderThatMayNotBeWrittenIsNamed() throws IOException {
        Path locked = Files.createDirectory(folder.resolve("locked"));
        assumeTrue(locked.toFile().setWritable(false) && !Files.isWritable(locked), "this user may write everywhere");
        IOException e = assertThrows(
                IOException.class, () -> AtomicFile.write(locked.resolve("x"), 0, channel -> put(channel, "x")));
        assertInstanceOf(AccessDeniedException.class, e.getCause());
        assertTrue(String.valueOf(e.getMessage()).contains("no permission for " + locked), e.getMessage());
        assertTrue(String.valueOf(e.getMessage()).contains("allow writing there or write elsewhere"), e.getMessage());
    }

    @Test
    void missingPermissionIsExplained() throws IOException {
        IOException e = assertThrows(
                IOException.class,
                () -> AtomicFile.write(target, 0, channel -> {
                    throw new AccessDeniedException("/there");
                }));
        assertEquals(
                "cannot write " + target + ": no permission for /there: allow writing there or write elsewhere",
                e.getMessage());
        assertUntouched();
    }

    @Test
    void aFileInPlaceOfAFolderIsNamed() throws IOException {
        IOException e = assertThrows(
                IOException.class, () -> AtomicFile.write(target.resolve("x"), 0, channel -> put(channel, "x")));
        assertTrue(String.valueOf(e.getMessage()).contains(target + " is a file, not a folder"), e.getMessage());
        IOException onto =
                assertThrows(IOException.class, () -> AtomicFile.write(folder, 0, channel -> put(channel, "x")));
        assertTrue(String.valueOf(onto.getMessage()).contains("it is a folder"), onto.getMessage());
        assertUntouched();
    }

    @Test
    void aLinkStaysALink() throws IOException {
        Path link = folder.resolve("latest");
        try {
            Files.createSymbolicLink(link, target);
        } catch (IOException | UnsupportedOperationException e) {
            assumeFalse(true, "this system makes no symbolic links");
        }
        AtomicFile.write(link, 3, channel -> put(channel, "new"));
        assertTrue(Files.isSymbolicLink(link));
        assertEquals("new", Files.readString(target));
    }

    @Test
    void writersOfOneFileDoNotMix() throws Exception {
        try (ExecutorService threads = Executors.newFixedThreadPool(4)) {
            List<Future<?>> running = new ArrayList<>();
            for (int i = 0; i < 40; i++) {
                String content = String.valueOf((char) ('a' + i % 26)).repeat(1000);
                running.add(threads.submit(() -> {
                    AtomicFile.write(target, 1000, channel -> {
                        put(channel, content.substring(0, 500));
                        put(channel, content.substring(500));
                    });
                    String seen = Files.readString(target);
                    assertEquals(String.valueOf(seen.charAt(0)).repeat(1000), seen);
                    return true;
                }));
            }
            for (Future<?> one : running) {
                one.get();
            }
        }
        assertFalse(Files.readString(target).equals("old"));
        assertEquals(List.of("model.bin"), names());
    }

    @Test
    void aSecondNameIsTheSameFile() throws IOException {
        Path second = folder.resolve("second.bin");
        AtomicFile.link(target, second);
        assertTrue(Files.isSameFile(target, second));
        AtomicFile.link(target, second);
        assertEquals(List.of("model.bin", "second.bin"), names());
        // The file is replaced, not changed: its second name keeps the old content until it is linked again.
        AtomicFile.write(target, 3, channel -> put(channel, "new"));
        assertEquals("old", Files.readString(second));
        AtomicFile.link(target, second);
        assertEquals("new", Files.readString(second));
        assertEquals(List.of("model.bin", "second.bin"), names());
        assertThrows(IOException.class, () -> AtomicFile.link(folder.resolve("missing"), second));
        assertEquals("new", Files.readString(second));
    }

    @Test
    void onlyWhatDeadProcessesLeftIsDeleted() throws Exception {
        Process dead = new ProcessBuilder("true").start();
        dead.waitFor();
        Path abandoned = Files.writeString(folder.resolve(".model.bin." + dead.pid() + "-3.tmp"), "half");
        Path namesake = Files.writeString(
                folder.resolve(".model.bin." + ProcessHandle.current().pid() + "-0.tmp"), "half");
        Path alive = Files.writeString(
                folder.resolve(".model.bin."
                        + ProcessHandle.current().parent().orElseThrow().pid() + "-1.tmp"),
                "half");
        Path other = Files.writeString(folder.resolve(".notes.tmp"), "mine");
        AtomicFile.write(target, 3, channel -> {
            assertEquals(
                    List.of(namesake, abandoned).stream().sorted().toList(),
                    AtomicFile.deleteAbandoned(folder).stream().sorted().toList());
            put(channel, "new");
        });
        assertEquals("new", Files.readString(target));
        assertTrue(Files.exists(alive) && Files.exists(other));
    }
}
