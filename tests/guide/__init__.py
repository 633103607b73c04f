"""What the older package's readme and guide show, each snippet by a test of our own.

| snippet                                   | shown by                                  |
|-------------------------------------------|-------------------------------------------|
| readme 1: the slow view                   | test_servers.test_the_first_answer_comes_before_what_is_slow |
| readme 2: the same in parts               | test_views.test_the_first_answer_does_not_wait_for_what_is_slow |
| readme 3: pip install                     | ../test_package.test_the_public_names_are_there |
| readme 4: a first dashboard               | test_views.test_two_parts_a_request_in_declared_order |
| readme 5: its address                     | test_views.test_the_view_has_an_address_of_a_name |
| readme 6: the plain loop                  | test_servers.test_the_plain_loop          |
| readme 7: lazy loading                    | test_views.test_a_lazy_part_is_made_when_its_page_is_asked_for |
| readme 8: safe_call                       | test_views.test_a_part_that_fails_has_its_fallback |
| readme 9: cached_for                      | test_views.test_what_is_cached_is_made_once |
| readme 10: a shop, for who is logged in   | test_views.test_a_shop_is_for_those_who_are_logged_in |
| guide 1: pip install                      | ../test_package.test_the_public_names_are_there |
| guide 2: the smallest view                | test_views.test_the_smallest_view         |
| guide 3: the answer                       | test_views.test_the_answer_has_the_shape_of_the_guide |
| guide 3, cannot stay: has_more beside a cursor | test_views.test_no_cursor_stands_beside_has_more_false |
| guide 4: get_overview(self)               | test_views.test_two_parts_a_request_in_declared_order |
| guide 5: chunk_size                       | test_views.test_chunk_size_says_how_many_parts_a_request_gets |
| guide 5: cursor_ttl                       | test_views.test_a_cursor_expires_after_cursor_ttl |
| guide 6: immediate, lazy, cached          | test_views.test_a_lazy_part_is_made_when_its_page_is_asked_for |
| guide 7: safe_call                        | test_views.test_a_part_that_fails_has_its_fallback |
| guide 7, without it                       | test_views.test_without_safe_call_the_part_alone_fails |
| guide 8: cached_for                       | test_views.test_what_is_cached_is_made_once |
| guide 9: with_timeout                     | test_views.test_a_part_that_takes_too_long_times_out |
| guide 10: conditional parts               | test_views.test_parts_depend_on_the_user  |
| guide 10, between two pages               | test_views.test_a_part_that_was_lost_on_the_way_is_gone |
| guide 11: dynamic parts                   | test_views.test_parts_depend_on_the_query |
| guide 12: a shop's admin                  | test_views.test_the_shops_admin_sees_today |
| guide 13: a social dashboard              | test_views.test_a_social_dashboard_is_of_its_user |
| guide 14: a platform for analytics        | test_views.test_a_platform_for_analytics  |
| guide 15: ProgressiveLoader, React        | test_servers.test_the_loader_class_and_its_component |
| guide 16: Vue                             | test_servers.test_the_component_in_vues_form |
| guide 17: the DOM                         | test_servers.test_the_loop_with_nothing_but_the_dom |
| guide 18: good querysets                  | test_views.test_good_querysets_need_few_queries |
| guide 19: chunk sizes                     | test_views.test_chunk_size_says_how_many_parts_a_request_gets |
| guide 20: cached_for                      | test_views.test_a_cached_part_is_never_another_users |
| guide 20: the cache by hand               | test_views.test_a_part_may_use_the_cache_by_hand |
| guide 21: what to make lazy               | test_views.test_the_first_answer_does_not_wait_for_what_is_slow |
| guide 22: get_parts() returned None       | test_mistakes.test_a_mistake_is_said_to_its_author_alone |
| guide 22, mended                          | test_mistakes.test_an_empty_list_is_no_mistake |
| guide 23: lazy(self.get_data())           | test_mistakes.test_a_mistake_is_said_to_its_author_alone |
| guide 24: the cursor expired              | test_views.test_a_cursor_expires_after_cursor_ttl |
| guide 25: large lists, smaller chunks     | test_views.test_chunk_size_says_how_many_parts_a_request_gets |
| guide 26: debug mode                      | test_views.test_a_part_can_be_timed_by_hand |
| guide 27: TestCase, APIClient             | test_testcase.DashboardTest.test_progressive_loading |
| guide 28: from a plain view               | test_views.test_a_plain_view_moves_with_its_serializer |
| guide 28, cannot stay: instances          | test_views.test_model_instances_without_a_serializer_are_refused |
| guide 29: from a registry of parts        | test_views.test_what_is_cached_is_made_once |
"""

# ruff: noqa: E501 - the table
