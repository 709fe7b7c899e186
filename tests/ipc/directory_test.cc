// The one way to touch a directory (ipc/directory.h).
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "ipc/directory.h"
#include "tests/support/child.h"
#include "tests/support/must.h"
#include "tests/support/scratch.h"

namespace ringmill::test {
namespace {

namespace fs = std::filesystem;
using Owners = Directory::Owners;

constexpr uid_t stranger = 65534;

struct Place {
  ScratchFolder folder;
  Directory directory = must(Directory::open(folder.path()));
};

TEST(Directories, a_file_that_a_directory_reads_is_the_one_that_it_wrote) {
  const Place place;
  must(place.directory.write_file_durably("facts", "a longer first text", 0640));
  must(place.directory.write_file_durably("facts", "second", 0640));
  EXPECT_EQ(must(place.directory.read_small_file("facts", Owners::directorys)), "second");
  EXPECT_EQ(must(place.directory.look("facts"))->st_mode & 07777, 0640U);
  EXPECT_EQ(must(place.directory.names()), std::vector<std::string>{"facts"});
}

TEST(Directories, a_directory_that_is_swapped_for_a_link_is_not_left) {
  const ScratchFolder around;
  const fs::path engine = around.path() / "engine";
  const fs::path victim = around.path() / "victim";
  fs::create_directory(engine);
  fs::create_directory(victim);
  must(write_file_durably(victim / "facts", "precious", 0600));
  const Directory directory = must(Directory::open(engine));
  must(directory.write_file_durably("facts", "mine", 0600));
  must(directory.make_folder("journal", 0700));
  const Directory folder = must(directory.open_folder("journal"));

  fs::rename(engine, around.path() / "aside");
  fs::create_directory_symlink(victim, engine);
  fs::rename(around.path() / "aside" / "journal", around.path() / "aside" / "old");
  fs::create_directory_symlink(victim, around.path() / "aside" / "journal");

  EXPECT_EQ(must(directory.read_small_file("facts", Owners::directorys)), "mine");
  must(directory.write_file_durably("more", "x", 0600));
  must(folder.make_file("damaged-1-2", 0600));
  must(folder.write_file_durably("facts", "written", 0600));
  must(directory.remove("facts"));
  must(directory.set_mode(0755));
  EXPECT_EQ(code_of(directory.open_folder("journal")), ErrorCode::permission_denied);
  EXPECT_FALSE(directory.remove_itself());
  EXPECT_EQ(std::distance(fs::directory_iterator(victim), fs::directory_iterator()), 1);
  EXPECT_EQ(must(read_file(victim / "facts")), "precious");
  EXPECT_TRUE(fs::exists(around.path() / "aside" / "old" / "damaged-1-2"));
}

TEST(Directories, a_link_is_not_opened_as_a_directory_whatever_stands_behind_its_name) {
  const ScratchFolder around;
  fs::create_directory(around.path() / "target");
  fs::create_directory_symlink(around.path() / "target", around.path() / "link");
  for (const char* end : {"", "/", "/.", "//", "/./"}) {
    EXPECT_EQ(code_of(Directory::open(around.path().string() + "/link" + end)), ErrorCode::permission_denied) << end;
    EXPECT_TRUE(Directory::open(around.path().string() + "/target" + end)) << end;
  }
  EXPECT_TRUE(Directory::open(around.path() / "link", Directory::Links::followed));
}

TEST(Directories, what_is_no_plain_file_is_refused_at_once) {
  const Place place;
  ASSERT_EQ(::mkfifo((place.folder.path() / "pipe").c_str(), 0666), 0);
  fs::create_directory(place.folder.path() / "folder");
  fs::create_symlink(place.folder.path() / "elsewhere", place.folder.path() / "link");
  for (const char* name : {"pipe", "folder", "link"}) {
    for (const int flags : {O_RDONLY, O_RDWR, O_WRONLY}) {
      EXPECT_EQ(code_of(place.directory.open_file(name, flags, Owners::directorys)), ErrorCode::permission_denied)
          << name;
    }
    EXPECT_EQ(code_of(place.directory.read_small_file(name, Owners::let_in)), ErrorCode::permission_denied) << name;
  }
  EXPECT_FALSE(fs::exists(place.folder.path() / "elsewhere"));
}

TEST(Directories, a_huge_sparse_file_is_refused_before_it_is_read) {
  const Place place;
  must(place.directory.make_file("huge", 0600));
  ASSERT_EQ(::truncate((place.folder.path() / "huge").c_str(), off_t{40} << 30), 0);
  EXPECT_EQ(code_of(place.directory.read_small_file("huge", Owners::directorys)), ErrorCode::corrupt);
}

TEST(Directories, a_name_is_no_path) {
  const Place place;
  fs::create_directory(place.folder.path() / "sub");
  must(write_file_durably(place.folder.path() / "sub" / "file", "x", 0600));
  for (const std::string& name : {std::string("sub/file"), std::string(".."), std::string(""),
                                  std::string("/etc/passwd"), std::string("a\0b", 3)}) {
    EXPECT_EQ(code_of(place.directory.read_small_file(name, Owners::let_in)), ErrorCode::invalid_argument) << name;
    EXPECT_EQ(code_of(place.directory.remove(name)), ErrorCode::invalid_argument) << name;
    EXPECT_EQ(code_of(place.directory.make_file(name, 0600)), ErrorCode::invalid_argument) << name;
  }
}

TEST(Directories, a_strangers_file_is_refused_where_the_mode_does_not_let_the_stranger_in) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const Place place;
  must(place.directory.write_file_durably("rules", "{}", 0644));
  ASSERT_EQ(::chown((place.folder.path() / "rules").c_str(), stranger, stranger), 0);
  EXPECT_EQ(code_of(place.directory.read_small_file("rules", Owners::directorys)), ErrorCode::permission_denied);
  EXPECT_EQ(code_of(place.directory.read_small_file("rules", Owners::let_in)), ErrorCode::permission_denied);
  must(place.directory.set_mode(0770));
  const Directory shared = must(Directory::open(place.folder.path()));
  EXPECT_EQ(code_of(shared.read_small_file("rules", Owners::directorys)), ErrorCode::permission_denied);
  EXPECT_EQ(must(shared.read_small_file("rules", Owners::let_in)), "{}");
}

TEST(Directories, a_new_file_never_takes_the_place_of_what_stands_there) {
  const Place place;
  fs::create_symlink(place.folder.path() / "elsewhere", place.folder.path() / "link");
  EXPECT_EQ(code_of(place.directory.make_file("link", 0600)), ErrorCode::already_exists);
  EXPECT_FALSE(must(place.directory.make_empty_file("link", 0600)));
  EXPECT_FALSE(fs::exists(place.folder.path() / "elsewhere"));
  EXPECT_TRUE(must(place.directory.make_empty_file("new", 0604)));
  EXPECT_EQ(must(place.directory.look("new"))->st_mode & 07777, 0604U);
  EXPECT_EQ(must(place.directory.names()).size(), 2U);
}

TEST(Directories, what_a_killed_writer_left_goes_with_the_next_writing) {
  const Place place;
  const std::string left = must(Directory::half_made_name("facts"));
  must(place.directory.make_file(left, 0600));
  must(place.directory.make_file("facts.mine.new", 0600));
  must(place.directory.write_file_durably("facts", "x", 0600));
  EXPECT_FALSE(place.directory.has(left));
  EXPECT_TRUE(place.directory.has("facts.mine.new"));
}

TEST(Directories, a_nameless_file_leaves_nothing) {
  const Place place;
  must(write_all(must(place.directory.make_nameless_file(0600)), "x", "probe"));
  EXPECT_TRUE(must(place.directory.names()).empty());
}

TEST(Directories, a_file_that_is_the_owners_alone_is_refused_when_others_may_write_it) {
  const Place place;
  must(place.directory.write_file_durably("facts", "x", 0644));
  EXPECT_EQ(must(place.directory.read_small_file("facts", Owners::alone)), "x");
  ASSERT_EQ(::chmod((place.folder.path() / "facts").c_str(), 0664), 0);
  EXPECT_EQ(code_of(place.directory.read_small_file("facts", Owners::alone)), ErrorCode::permission_denied);
  EXPECT_EQ(must(place.directory.read_small_file("facts", Owners::directorys)), "x");
}

TEST(Directories, a_file_keeps_its_origin_when_it_is_renamed_and_a_copy_has_another) {
  const Place place;
  must(place.directory.write_file_durably("facts", "x", 0600));
  const auto origin = must(place.directory.origin_of("facts"));
  EXPECT_TRUE(origin.is_plain_file);
  must(place.directory.rename("facts", "moved"));
  EXPECT_EQ(must(place.directory.origin_of("moved")).inode, origin.inode);
  EXPECT_EQ(must(place.directory.origin_of("moved")).born_ns, origin.born_ns);
  fs::copy(place.folder.path() / "moved", place.folder.path() / "copy");
  EXPECT_NE(must(place.directory.origin_of("copy")).inode, origin.inode);
  fs::create_symlink("moved", place.folder.path() / "link");
  EXPECT_FALSE(must(place.directory.origin_of("link")).is_plain_file);
  EXPECT_EQ(code_of(place.directory.origin_of("nothing")), ErrorCode::not_found);
}

TEST(Directories, a_mode_is_narrowed_without_a_link_being_followed) {
  const ScratchFolder outside;
  const Place place;
  const auto mode_of = [](const fs::path& file) {
    struct stat facts {};
    return ::stat(file.c_str(), &facts) == 0 ? facts.st_mode & 07777U : 0U;
  };
  must(write_file_durably(outside.path() / "victim", "precious", 0644));
  must(place.directory.write_file_durably("mine", "x", 0664));
  fs::create_symlink(outside.path() / "victim", place.folder.path() / "link");
  for (const char* name : {"mine", "link", "nothing"}) place.directory.narrow_mode(name, 0660);
  EXPECT_EQ(mode_of(place.folder.path() / "mine"), 0660U);
  EXPECT_EQ(mode_of(outside.path() / "victim"), 0644U);
  place.directory.narrow_mode("mine", 0666);
  EXPECT_EQ(mode_of(place.folder.path() / "mine"), 0660U) << "it gives no right";
}

TEST(Descriptors, none_is_below_three_where_the_process_has_closed_its_own) {
  const ScratchFolder folder;
  Child child([&] {
    for (const int descriptor : {0, 1, 2}) ::close(descriptor);
    const Directory directory = must(Directory::open(folder.path()));
    const File made = must(directory.make_file("file", 0600));
    const File opened = must(directory.open_file("file", O_RDWR, Owners::directorys));
    const File nameless = must(directory.make_nameless_file(0600));
    must(directory.names());
    must(directory.write_file_durably("text", "x", 0600));
    must(directory.make_folder("sub", 0700));
    const Directory sub = must(directory.open_folder("sub"));
    for (const int used :
         {directory.descriptor(), made.descriptor(), opened.descriptor(), nameless.descriptor(), sub.descriptor()}) {
      if (used < 3) return 1;
    }
    for (const int closed : {0, 1, 2}) {
      if (::fcntl(closed, F_GETFD) >= 0) return 2;
    }
    return (::fcntl(made.descriptor(), F_GETFD) & FD_CLOEXEC) != 0 ? 0 : 3;
  });
  EXPECT_EQ(child.wait(), 0);
}

}  // namespace
}  // namespace ringmill::test
